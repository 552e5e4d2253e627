package measure

import (
	"math"
	"slices"
)

// A Summary describes a sample. Nothing is left out of it: a value far from the
// others is as true as they are, and shows in P99 and Max.
type Summary struct {
	N                  int
	Min, P50, P90, P99 float64
	Max                float64
	Low, High          float64 // the 95 % interval of the median, but see [Sparse]
	// OneModeP is how probable such a sample is of a distribution with one peak,
	// at most; TwoModes says that this is too little to believe it.
	OneModeP float64
	TwoModes bool
}

// modesLevel is how improbable a sample must be, if its distribution has one
// peak, to be called one of two. It is below the usual 5 % because a report makes
// dozens of such tests, and each false alarm sends somebody looking.
const modesLevel = 0.01

// modesLeast is how many values a sample must have to be called one of two: of
// fewer, a peak would be two or three values.
const modesLeast = 10

// Summarize describes a sample.
//
// Preconditions: the sample is not empty.
func Summarize(sample []float64) Summary {
	sorted := slices.Sorted(slices.Values(sample))
	s := Summary{
		N:        len(sorted),
		Min:      sorted[0],
		P50:      quantile(sorted, 0.50),
		P90:      quantile(sorted, 0.90),
		P99:      quantile(sorted, 0.99),
		Max:      sorted[len(sorted)-1],
		OneModeP: OneModeP(sample),
	}
	s.Low, s.High = MedianInterval(sample)
	s.TwoModes = s.N >= modesLeast && s.OneModeP < modesLevel
	return s
}

// Quantile returns the value below which the part q of the distribution lies,
// 0 ≤ q ≤ 1, by linear interpolation between the two nearest values (definition 7
// of Hyndman and Fan, Sample Quantiles in Statistical Packages, 1996). The
// quantile 0.99 of fewer than 100 values says little more than the largest.
//
// Preconditions: the sample is not empty.
func Quantile(sample []float64, q float64) float64 {
	return quantile(slices.Sorted(slices.Values(sample)), q)
}

func quantile(sorted []float64, q float64) float64 {
	rank := q * float64(len(sorted)-1)
	below := math.Floor(rank)
	low, high := sorted[int(below)], sorted[int(math.Ceil(rank))]
	return low + (rank-below)*(high-low)
}

// Sparse says that n values are too few for a 95 % interval of their median,
// however it is made: not even the range from the smallest to the largest holds
// the true median in 95 of 100 cases, because all n lie on one side of it with
// probability 2·2⁻ⁿ, which is 6.25 % for 5 values.
func Sparse(n int) bool { return n < 6 }
