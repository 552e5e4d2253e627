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
