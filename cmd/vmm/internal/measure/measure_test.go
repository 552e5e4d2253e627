package measure

import (
	"math"
	"math/rand/v2"
	"testing"
)

// A distribution with a known median, from which samples are drawn.
type distribution struct {
	name   string
	median float64
	draw   func(*rand.Rand) float64
}

// distributions are of the shapes that times have: skewed, with a long tail, with
// values far out, and two peaks.
var distributions = []distribution{
	{"normal", 10, func(r *rand.Rand) float64 { return 10 + r.NormFloat64() }},
	{"skewed", 10, func(r *rand.Rand) float64 { return 10 * math.Exp(0.3*r.NormFloat64()) }},
	{"exponential", math.Ln2, func(r *rand.Rand) float64 { return r.ExpFloat64() }},
	{"one in twenty far out", 10, func(r *rand.Rand) float64 {
		spread := 1.0
		if r.IntN(20) == 0 {
			spread = 50
		}
		return 10 + spread*r.NormFloat64()
	}},
	{"two peaks", 10, func(r *rand.Rand) float64 {
		if r.IntN(3) == 0 {
			return 30 + r.NormFloat64()
		}
		// Three quarters of this peak, of two thirds of all values, lie below 10.
		return 10 - 0.6744897502 + r.NormFloat64()
	}},
}

func (d distribution) sample(r *rand.Rand, n int) []float64 {
	s := make([]float64, n)
	for i := range s {
		s[i] = d.draw(r)
	}
	return s
}

// atLeast returns the number of successes of n that fewer than one in a thousand
// experiments fall short of if each succeeds with probability p.
func atLeast(n int, p float64) int {
	return int(float64(n)*p - 3.1*math.Sqrt(float64(n)*p*(1-p)))
}

// An interval of the median covers the truth as often as it says. A percentile
// interval of few values is known to be a little short: 93 % is asked for.
func TestMedianIntervalCoverage(t *testing.T) {
	const experiments, size, promised = 200, 25, 0.93
	for _, d := range distributions {
		t.Run(d.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(11, 12))
			covered := 0
			for range experiments {
				if low, high := MedianInterval(d.sample(random, size)); low <= d.median && d.median <= high {
					covered++
				}
			}
			if least := atLeast(experiments, promised); covered < least || covered == experiments {
				t.Errorf("%d of %d intervals cover the truth, want at least %d and not all", covered, experiments, least)
			}
		})
	}
}

// Of distributions whose medians are 20 % apart the intervals of the ratio say
// which is larger nearly always, and never the wrong one.
func TestRanking(t *testing.T) {
	const experiments, size = 100, 40
	random := rand.New(rand.NewPCG(5, 6))
	slow := distribution{draw: func(r *rand.Rand) float64 { return 12 * math.Exp(0.1*r.NormFloat64()) }}
	fast := distribution{draw: func(r *rand.Rand) float64 { return 10 * math.Exp(0.1*r.NormFloat64()) }}
	right, covered := 0, 0
	for range experiments {
		r := RatioOf(slow.sample(random, size), fast.sample(random, size))
		if r.High < 1 {
			t.Errorf("the slow one is called faster: %v", r)
		}
		if r.Low > 1 {
			right++
		}
		if r.Low <= 1.2 && 1.2 <= r.High {
			covered++
		}
	}
	if right < 95 {
		t.Errorf("the ranking was told in %d of %d experiments", right, experiments)
	}
	if least := atLeast(experiments, 0.93); covered < least {
		t.Errorf("%d of %d intervals cover the true ratio, want %d", covered, experiments, least)
	}
}

func TestQuantile(t *testing.T) {
	sample := []float64{50, 10, 40, 20, 30}
	for q, want := range map[float64]float64{0: 10, 0.25: 20, 0.5: 30, 0.9: 46, 1: 50} {
		if got := Quantile(sample, q); math.Abs(got-want) > 1e-9 {
			t.Errorf("quantile %v of %v is %v, want %v", q, sample, got, want)
		}
	}
}

// Outliers are kept.
func TestSummarizeKeepsOutliers(t *testing.T) {
	s := Summarize([]float64{3, 1, 1000, 2})
	if s.N != 4 || s.Min != 1 || s.P50 != 2.5 || s.Max != 1000 || s.P99 < 900 {
		t.Errorf("got %+v", s)
	}
}

func TestSparse(t *testing.T) {
	if !Sparse(5) || Sparse(6) {
		t.Errorf("5 values sparse: %v, 6 values: %v; want true, false", Sparse(5), Sparse(6))
	}
	if got, want := RatioOf([]float64{1}, []float64{2}).String(), "0.50 (1 pairs, too few for an interval)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEffect(t *testing.T) {
	for _, tt := range []struct {
		a, b []float64
		want Effect
		word string
	}{
		{[]float64{1, 2, 3}, []float64{1, 2, 3}, 0, "negligible"},
		{[]float64{4, 5}, []float64{1, 2, 3}, 1, "large"},
		{[]float64{1, 2}, []float64{3}, -1, "large"},
		{[]float64{1, 1, 1, 2}, []float64{1}, 0.25, "small"},
		{[]float64{2, 2, 5, 0}, []float64{1, 3, 1, 4, 3}, -0.1, "negligible"}, // of 20 pairs 9 and 11
	} {
		if got := EffectOf(tt.a, tt.b); math.Abs(float64(got-tt.want)) > 1e-9 || got.String() != tt.word {
			t.Errorf("effect of %v against %v is %v (%v), want %v (%v)", tt.a, tt.b, float64(got), got, float64(tt.want), tt.word)
		}
	}
}

// What a resampler counts is the median of what it draws.
func TestResampler(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 8; n++ {
		sample := distributions[0].sample(random, n)
		r := newResampler(sample)
		for range 50 {
			got := r.median(random)
			var drawn []float64
			for i, times := range r.drawn {
				for range times {
					drawn = append(drawn, r.sorted[i])
				}
			}
			if len(drawn) != n || got != Median(drawn) {
				t.Fatalf("median of %v is %v, got %v", drawn, Median(drawn), got)
			}
		}
	}
}
