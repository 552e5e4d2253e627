package measure

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
)

// Two ways through a program give a sample two peaks, such as a start that now
// and then waits for a timer, and then a median is a time that hardly any run
// took. Whether there are two is asked with Hartigan's dip test (Hartigan and
// Hartigan, The Dip Test of Unimodality, Annals of Statistics 13, 1985):
//
//   - It assumes nothing of the shape but that it has one peak. A test for a
//     mixture of two normal distributions would call each skewed one, as times
//     have, two.
//   - A value far out moves the distribution function by 1/n and the dip by no
//     more. Silverman's test of the kernel density makes a peak of each such
//     value, and times have such values.
//   - There is nothing to choose, such as a width.
//
// The dip is compared with that of samples of the uniform distribution, in which
// it is largest among those with one peak: the test errs towards one.

// Dip returns how far the distribution function of a sample is from the nearest
// one of a distribution with one peak: from 1/(2n), or 0 if all values are the
// same, to 1/4 for two equal points.
//
// Preconditions: the sample is not empty.
func Dip(sample []float64) float64 {
	lower, upper := steps(slices.Sorted(slices.Values(sample)))
	if len(lower) == 1 {
		return 0
	}
	n := upper[len(upper)-1].y
	// A distribution function with one peak is convex up to it and concave beyond.
	// The peak is looked for in an interval that becomes smaller, and dip is, in
	// values, the distance that is needed outside of it (section 5 of the paper).
	dip := 1.0
	for {
		convex := hull(lower, func(turn float64) bool { return turn <= 0 })
		concave := hull(upper, func(turn float64) bool { return turn >= 0 })
		distance, left, right := widest(convex, concave)
		if distance <= dip {
			return dip / (2 * n)
		}
		for i := range lower {
			switch x := lower[i].x; {
			case x < left:
				dip = max(dip, upper[i].y-at(convex, x))
			case x > right:
				dip = max(dip, at(concave, x)-lower[i].y)
			}
		}
		if left == right { // the peak is one value, however often it occurs
			return dip / (2 * n)
		}
		first, last := search(lower, left), search(lower, right)
		lower, upper = lower[first:last+1], upper[first:last+1]
	}
}

type point struct{ x, y float64 }

// steps returns the lower and the upper corners of the distribution function's
// steps, in values: at each different value how many are smaller, and how many
// are not larger.
func steps(sorted []float64) (lower, upper []point) {
	for i, x := range sorted {
		if i == 0 || x != sorted[i-1] {
			lower = append(lower, point{x, float64(i)})
			upper = append(upper, point{})
		}
		upper[len(upper)-1] = point{x, float64(i + 1)}
	}
	return lower, upper
}

// hull returns the corners of the greatest convex function below points, or of
// the least concave one above, of which drop says what turn does not belong to
// it: positive is to the left.
func hull(points []point, drop func(turn float64) bool) []point {
	var h []point
	for _, p := range points {
		for len(h) > 1 {
			a, b := h[len(h)-2], h[len(h)-1]
			if !drop((b.x-a.x)*(p.y-a.y) - (b.y-a.y)*(p.x-a.x)) {
				break
			}
			h = h[:len(h)-1]
		}
		h = append(h, p)
	}
	return h
}

// search returns the index of the first point at x or to the right of it.
func search(points []point, x float64) int {
	i, _ := slices.BinarySearchFunc(points, x, func(p point, x float64) int { return cmp.Compare(p.x, x) })
	return i
}

// at returns the value at x of the function that joins the corners by lines.
func at(corners []point, x float64) float64 {
	i := search(corners, x)
	b := corners[i]
	if b.x == x {
		return b.y
	}
	a := corners[i-1]
	return a.y + (b.y-a.y)*(x-a.x)/(b.x-a.x)
}

// widest returns the largest distance between the two functions, which is at a
// corner of one, and the interval that it leaves for the peak: from a corner of
// the convex one to the next corner of the concave one.
func widest(convex, concave []point) (distance, left, right float64) {
	for _, p := range convex {
		if d := at(concave, p.x) - p.y; d > distance {
			distance, left, right = d, p.x, concave[search(concave, p.x)].x
		}
	}
	for _, p := range concave {
		if d := p.y - at(convex, p.x); d > distance {
			i := search(convex, p.x)
			if convex[i].x > p.x {
				i--
			}
			distance, left, right = d, convex[i].x, p.x
		}
	}
	return distance, left, right
}

// uniforms is how many samples of the uniform distribution a dip is compared
// with: enough to tell 1 % from 2 %.
const uniforms = 2000

// OneModeP returns how probable a dip as large as the sample's is in a sample of
// the same size whose distribution has one peak (of the uniform distribution,
// where it is most probable): from 1/uniforms to 1. The same sample gives the
// same answer.
//
// Preconditions: the sample is not empty.
func OneModeP(sample []float64) float64 {
	dips := uniformDips(len(sample))
	smaller, _ := slices.BinarySearch(dips, Dip(sample))
	return float64(max(1, len(dips)-smaller)) / float64(len(dips))
}

// simulated has the sorted dips of uniform samples by the samples' size.
var simulated sync.Map

func uniformDips(n int) []float64 {
	if dips, ok := simulated.Load(n); ok {
		return dips.([]float64)
	}
	random := rand.New(rand.NewPCG(3, uint64(n)))
	dips, sample := make([]float64, uniforms), make([]float64, n)
	for i := range dips {
		for j := range sample {
			sample[j] = random.Float64()
		}
		dips[i] = Dip(sample)
	}
	slices.Sort(dips)
	simulated.Store(n, dips)
	return dips
}
