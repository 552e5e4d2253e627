package report

import (
	"fmt"
	"math"
	"slices"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/measure"
)

// A comparison is the ratio of the medians of two groups. Of too few samples for an
// interval, Low and High are the most that single values differ by, so that a
// comparison of which they tell something is true of each of these.
type comparison struct{ measure.Ratio }

// ratio compares two groups, unless they are values of different things.
func ratio(a, b *group) (comparison, error) {
	if err := compare.Comparable(a.Key, b.Key); err != nil {
		return comparison{}, err
	}
	return ratioOf(a, b)
}

// pairedRatio compares two groups whose instances took turns, by the rounds that both
// have values of.
func pairedRatio(a, b *group) (comparison, error) {
	if err := compare.Comparable(a.Key, b.Key); err != nil {
		return comparison{}, err
	}
	var of, to []float64
	for i, round := range a.rounds {
		if j := slices.Index(b.rounds, round); j >= 0 && b.values[j] > 0 {
			of, to = append(of, a.values[i]), append(to, b.values[j])
		}
	}
	if len(of) == 0 {
		return comparison{}, fmt.Errorf("%s and %s have no round in common", a.label(), b.label())
	}
	return comparison{measure.PairedRatio(of, to)}, nil
}

// meanOf is the geometric mean of groups, of each round that all have a value of.
func meanOf(groups []*group) *group {
	mean := &group{Key: groups[0].Key}
next:
	for i, round := range groups[0].rounds {
		product := groups[0].values[i]
		for _, g := range groups[1:] {
			j := slices.Index(g.rounds, round)
			if j < 0 {
				continue next
			}
			product *= g.values[j]
		}
		mean.values = append(mean.values, math.Pow(product, 1/float64(len(groups))))
		mean.rounds = append(mean.rounds, round)
	}
	return mean
}

// ratioOf compares two groups whose difference is what is asked for.
func ratioOf(a, b *group) (comparison, error) {
	if slices.Min(b.values) <= 0 {
		return comparison{}, fmt.Errorf("%s has values of 0", b.label())
	}
	r := comparison{measure.RatioOf(a.values, b.values)}
	if measure.Sparse(r.N) {
		r.Low, r.High = slices.Min(a.values)/slices.Max(b.values), slices.Max(a.values)/slices.Min(b.values)
	}
	return r, nil
}

// String writes the ratio with its interval.
func (r comparison) String() string {
	switch sparse := measure.Sparse(r.N); {
	case sparse && r.Low == r.High:
		return digits(r.Ratio.Ratio) + "× (few samples)"
	case r.Low == r.High:
		return digits(r.Ratio.Ratio) + "×"
	case sparse:
		return fmt.Sprintf("%s× (%s to %s, few samples)", digits(r.Ratio.Ratio), digits(r.Low), digits(r.High))
	}
	return fmt.Sprintf("%s× (%s to %s)", digits(r.Ratio.Ratio), digits(r.Low), digits(r.High))
}
