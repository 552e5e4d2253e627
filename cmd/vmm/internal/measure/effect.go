package measure

import "slices"

// An Effect is Cliff's delta: the probability that a value of one sample is
// larger than one of another, less the probability that it is smaller. It is 0 if
// neither tends to be larger, 1 or -1 if they do not even overlap, and does not
// depend on the unit or on outliers (Cliff, Dominance statistics, Psychological
// Bulletin 114, 1993).
type Effect float64

// EffectOf compares a to b.
//
// Preconditions: neither sample is empty.
func EffectOf(a, b []float64) Effect {
	sorted := slices.Sorted(slices.Values(b))
	sum := 0
	for _, v := range a {
		smaller, _ := slices.BinarySearch(sorted, v) // the first that is not smaller
		larger, _ := slices.BinarySearchFunc(sorted, v, func(e, v float64) int {
			if e > v {
				return 1
			}
			return -1
		})
		sum += smaller - (len(sorted) - larger)
	}
	return Effect(float64(sum) / float64(len(a)*len(b)))
}

// String returns the usual word for the effect's size, by the limits of Romano
// et al. (2006), which are those of Cohen's d.
func (e Effect) String() string {
	switch size := max(e, -e); {
	case size < 0.147:
		return "negligible"
	case size < 0.33:
		return "small"
	case size < 0.474:
		return "medium"
	}
	return "large"
}
