// Package measure says what samples of one host and one run tell: how large
// values are, how sure one can be of it, how two samples compare, and whether a
// sample is one at all or two that were mixed.
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
// which the true one lies in 95 of 100 such experiments, but see [Sparse].
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
	fromA, fromB := newResampler(a), newResampler(b)
	r.Low, r.High = bootstrap(func(random *rand.Rand) float64 {
		return fromA.median(random) / fromB.median(random)
	})
	return r
}

// PairedRatio compares a to b, of which values with the same index were measured
// moments apart: it is the median of their ratios, which does not know of what changes
// slowly. Where there are too few for an interval, see [Sparse], Low and High are the
// smallest and the largest.
//
// Preconditions: the samples are as long as each other, not empty, and b has no 0.
func PairedRatio(a, b []float64) Ratio {
	ratios := make([]float64, len(a))
	for i := range a {
		ratios[i] = a[i] / b[i]
	}
	r := Ratio{Ratio: Median(ratios), Low: slices.Min(ratios), High: slices.Max(ratios), A: Median(a), B: Median(b), N: len(a)}
	if !Sparse(r.N) {
		r.Low, r.High = MedianInterval(ratios)
	}
	return r
}

// MedianInterval returns the interval in which the true median lies in 95 of 100
// such experiments, but see [Sparse]. The same sample gives the same interval.
//
// Preconditions: the sample is not empty.
func MedianInterval(sample []float64) (low, high float64) {
	return bootstrap(newResampler(sample).median)
}

// bootstrap returns the middle 95 % of what draw gives.
func bootstrap(draw func(*rand.Rand) float64) (low, high float64) {
	random := rand.New(rand.NewPCG(1, 2))
	draws := make([]float64, resamples)
	for i := range draws {
		draws[i] = draw(random)
	}
	slices.Sort(draws)
	return draws[resamples*25/1000], draws[resamples*975/1000]
}

// A resampler draws from a sample.
type resampler struct {
	sorted []float64
	drawn  []int // how often each value was
}

func newResampler(sample []float64) *resampler {
	return &resampler{slices.Sorted(slices.Values(sample)), make([]int, len(sample))}
}

// median draws as many values as the sample has, with replacement, and returns
// their median. That counts them, which takes less than to sort them.
func (r *resampler) median(random *rand.Rand) float64 {
	n := len(r.sorted)
	clear(r.drawn)
	for range n {
		r.drawn[random.IntN(n)]++
	}
	value, upTo := 0, r.drawn[0]
	for upTo <= (n-1)/2 {
		value++
		upTo += r.drawn[value]
	}
	lower := r.sorted[value]
	for upTo <= n/2 {
		value++
		upTo += r.drawn[value]
	}
	return (lower + r.sorted[value]) / 2
}

func (r Ratio) String() string {
	if Sparse(r.N) {
		return fmt.Sprintf("%.2f (%d pairs, too few for an interval)", r.Ratio, r.N)
	}
	return fmt.Sprintf("%.2f (95 %% interval %.2f to %.2f, %d pairs)", r.Ratio, r.Low, r.High, r.N)
}
