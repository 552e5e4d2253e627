package measure

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestDipOfKnownSamples(t *testing.T) {
	even := make([]float64, 50)
	for i := range even {
		even[i] = float64(i)
	}
	for _, tt := range []struct {
		name   string
		sample []float64
		want   float64
	}{
		{"one value", []float64{7}, 0},
		{"a value again and again", []float64{7, 7, 7, 7}, 0},
		{"two points", []float64{0, 0, 0, 1, 1, 1}, 0.25},
		{"evenly spaced", even, 1.0 / 100},
		{"two far groups", []float64{1, 1.01, 1.02, 9, 9.01, 9.02}, 0.25 - 0.08},
	} {
		got := Dip(tt.sample)
		if tt.name == "two far groups" { // between one step's half and the two points'
			if got <= tt.want || got > 0.25 {
				t.Errorf("%s: dip %v, want more than %v", tt.name, got, tt.want)
			}
		} else if math.Abs(got-tt.want) > 1e-9 {
			t.Errorf("%s: dip %v, want %v", tt.name, got, tt.want)
		}
	}
}

// The dip is the distance of its definition, computed in another way.
func TestDipIsItsDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(8, 9))
	for range 150 {
		sample := make([]float64, 2+random.IntN(8))
		for i := range sample {
			sample[i] = random.Float64()
			if random.IntN(3) == 0 { // values that occur more than once
				sample[i] = float64(random.IntN(3)) / 2
			}
		}
		if got, want := Dip(sample), dipByDefinition(sample); math.Abs(got-want) > 1e-6 {
			t.Errorf("dip of %v is %v, want %v", sample, got, want)
		}
	}
}

// dipByDefinition looks for the smallest d so that a function lies everywhere
// within d of the sample's distribution function that is convex to the left of
// one of the values and concave to the right of it.
func dipByDefinition(sample []float64) float64 {
	lower, upper := steps(slices.Sorted(slices.Values(sample)))
	n := float64(len(sample))
	low, high := 0.0, 0.5
	for high-low > 1e-9 {
		if d := (low + high) / 2; withinOfOnePeak(lower, upper, n, d) {
			high = d
		} else {
			low = d
		}
	}
	return high
}

func withinOfOnePeak(lower, upper []point, n, d float64) bool {
	for k := range lower {
		left, leftFits := leastAtEnd(lower[:k+1], upper[:k+1], n, d)
		// The concave side is the convex one seen from behind and below.
		var mirroredLower, mirroredUpper []point
		for i := len(lower) - 1; i >= k; i-- {
			mirroredLower = append(mirroredLower, point{-upper[i].x, n - upper[i].y})
			mirroredUpper = append(mirroredUpper, point{-lower[i].x, n - lower[i].y})
		}
		right, rightFits := leastAtEnd(mirroredLower, mirroredUpper, n, d)
		if leftFits && rightFits && left <= 1-right+1e-12 {
			return true
		}
	}
	return false
}

// leastAtEnd returns the least value that an increasing convex function can have
// at the last of the steps if it lies within d of them to the left of it.
func leastAtEnd(lower, upper []point, n, d float64) (least float64, fits bool) {
	const far = 1e6 // to the left the function is flat
	ceiling := []point{{lower[0].x - far, d}}
	floor := []point{{lower[0].x - far, -d}}
	for i := range lower {
		ceiling = append(ceiling, point{lower[i].x, lower[i].y/n + d})
		floor = append(floor, point{upper[i].x, upper[i].y/n - d})
	}
	end := len(ceiling) - 1
	least = math.Inf(-1)
	for j := range end {
		if floor[j].y > ceiling[j].y {
			return 0, false
		}
		least = max(least, floor[j].y)
		for i := range j {
			slope := (floor[j].y - ceiling[i].y) / (floor[j].x - ceiling[i].x)
			least = max(least, floor[j].y+slope*(ceiling[end].x-floor[j].x))
			for m := j + 1; m <= end; m++ {
				if ceiling[m].y < floor[j].y+slope*(ceiling[m].x-floor[j].x) {
					return 0, false
				}
			}
		}
	}
	return least, least <= ceiling[end].y
}

// Samples with one peak, skewed and with outliers or not, are rarely called two;
// those with two that are apart nearly always.
func TestTwoModes(t *testing.T) {
	const experiments, size = 200, 60
	for _, d := range distributions {
		t.Run(d.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(21, 22))
			two := 0
			for range experiments {
				if OneModeP(d.sample(random, size)) < modesLevel {
					two++
				}
			}
			if d.name == "two peaks" {
				if two < experiments*95/100 {
					t.Errorf("%d of %d samples are called so", two, experiments)
				}
			} else if two > experiments*2/100 {
				t.Errorf("%d of %d samples are called two-moded", two, experiments)
			}
		})
	}
}

// Two pairs are not two modes.
func TestTwoModesOfFew(t *testing.T) {
	pairs := []float64{1, 1.001, 9, 9.001}
	if s := Summarize(pairs); s.TwoModes || s.OneModeP >= modesLevel {
		t.Errorf("two modes %v with p = %v of four values, want none, though they are unlikely", s.TwoModes, s.OneModeP)
	}
}
