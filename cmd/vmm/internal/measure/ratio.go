// Package measure compares what was measured on one host in one run: medians,
// their ratio, and how sure one can be of it.
//
// Times on a shared machine drift and have long tails, so that means and
// standard deviations say little. A median does not care about the tail, and a
// bootstrap makes no assumption about the distribution (Efron and Tibshirani,
// An Introduction to the Bootstrap, 1993, chapter 13).
package measure

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// resamples is how many times the bootstrap draws: enough for two digits of a
// 95 % interval.
const resamples = 4000

// Median returns the middle of the sample, the mean of the two middle values
// if their number is even.
//
// Preconditions: the sample is not empty.
func Median(sample []float64) float64 {
	s := slices.Sorted(slices.Values(sample))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2
}

// A Ratio is the ratio of the medians of two samples, and the interval in
// which the true one lies in 95 of 100 such experiments.
type Ratio struct {
	Ratio, Low, High float64
	A, B             float64 // the medians
	N                int     // of the smaller sample
}

// RatioOf compares a to b. The same samples give the same interval.
//
// Preconditions: neither sample is empty, and the median of b is not 0.
func RatioOf(a, b []float64) Ratio {
	r := Ratio{A: Median(a), B: Median(b), N: min(len(a), len(b))}
	r.Ratio = r.A / r.B
	random := rand.New(rand.NewPCG(1, 2))
	draws := make([]float64, resamples)
	drawnA, drawnB := make([]float64, len(a)), make([]float64, len(b))
	for i := range draws {
		draws[i] = Median(resample(random, a, drawnA)) / Median(resample(random, b, drawnB))
	}
	slices.Sort(draws)
	r.Low, r.High = draws[resamples*25/1000], draws[resamples*975/1000]
	return r
}

// resample fills drawn with values from the sample, with replacement, and
// returns it.
func resample(random *rand.Rand, sample, drawn []float64) []float64 {
	for i := range drawn {
		drawn[i] = sample[random.IntN(len(sample))]
	}
	return drawn
}

func (r Ratio) String() string {
	return fmt.Sprintf("%.2f (95 %% interval %.2f to %.2f, %d pairs)", r.Ratio, r.Low, r.High, r.N)
}
