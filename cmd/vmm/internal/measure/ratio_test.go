package measure

import (
	"math"
	"math/rand/v2"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		sample []float64
		want   float64
	}{
		{[]float64{3}, 3},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 100, 2}, 3},
	} {
		if got := Median(tt.sample); got != tt.want {
			t.Errorf("median of %v is %v, want %v", tt.sample, got, tt.want)
		}
	}
}

func TestRatioOfConstants(t *testing.T) {
	r := RatioOf([]float64{3, 3, 3}, []float64{4, 4, 4, 4})
	if r.Ratio != 0.75 || r.Low != 0.75 || r.High != 0.75 || r.N != 3 {
		t.Errorf("got %+v, want 0.75 with no width, of 3 pairs", r)
	}
}

// Pairs do not know of what changes slowly, and tell the truth about as often as they say.
func TestPairedRatio(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 3))
	const experiments, size, truth = 100, 25, 1.02
	covered := 0
	for range experiments {
		a, b := make([]float64, size), make([]float64, size)
		for i := range size {
			speed := 1 + float64(i)/size // twice as fast at the end
			a[i], b[i] = truth*speed*math.Exp(0.02*random.NormFloat64()), speed*math.Exp(0.02*random.NormFloat64())
		}
		r := PairedRatio(a, b)
		if r.High-r.Low > 0.06 || r.N != size {
			t.Errorf("%+v", r)
		}
		if r.Low <= truth && truth <= r.High {
			covered++
		}
	}
	if covered < experiments*88/100 {
		t.Errorf("%d of %d intervals cover the truth, want about 95 %%", covered, experiments)
	}
	if r := PairedRatio([]float64{1, 6, 2}, []float64{1, 2, 1}); r.Ratio != 2 || r.Low != 1 || r.High != 3 {
		t.Errorf("of three pairs: %+v, want 2, all from 1 to 3", r)
	}
}

// The interval covers the true ratio about as often as it says, for the skewed
// distributions that start-up times have.
func TestIntervalCoverage(t *testing.T) {
	const (
		experiments = 100
		size        = 25
		truth       = 0.6
	)
	random := rand.New(rand.NewPCG(7, 7))
	skewed := func(scale float64) []float64 {
		s := make([]float64, size)
		for i := range s {
			s[i] = scale * math.Exp(0.2*random.NormFloat64())
		}
		return s
	}
	covered := 0
	for range experiments {
		if r := RatioOf(skewed(6), skewed(10)); r.Low <= truth && truth <= r.High {
			covered++
		}
	}
	if covered < experiments*88/100 || covered > experiments {
		t.Errorf("%d of %d intervals cover the truth, want about 95 %%", covered, experiments)
	}
}
