package report

import (
	"math"

	"github.com/wcharczuk/go-chart/v2"

	"microvm/cmd/vmm/internal/compare"
)

// An axis is a range of values with their unit, linear or logarithmic.
type axis struct {
	name        string
	unit        compare.Unit
	logarithmic bool
	low, high   float64
	ticks       []float64 // between low and high
}

// apart is by which factor values differ if a linear axis would not tell them apart.
const apart = 20

// linearAxis returns an axis from 0 to a little beyond the largest value, with at
// most so many steps.
func linearAxis(name string, unit compare.Unit, values []float64, steps int) axis {
	high := 0.0
	for _, v := range values {
		high = max(high, v)
	}
	if high == 0 {
		high = 1
	}
	// Ticks are round in the unit that they are written in.
	factor := scaleOf(unit, high).factor
	if unit == compare.Count { // there are no halves
		steps = min(steps, int(math.Ceil(high)))
	}
	ticks := multiples(high/factor, steps)
	for i := range ticks {
		ticks[i] *= factor
	}
	return axis{name: name, unit: unit, high: ticks[len(ticks)-1], ticks: ticks}
}

// multiples are those of 1, 2 or 5 times a power of ten, from 0 until high.
func multiples(high float64, steps int) []float64 {
	power := math.Pow(10, math.Floor(math.Log10(high/float64(steps))))
	step := 10 * power
	for _, s := range []float64{1, 2, 5} {
		if high <= s*power*float64(steps) {
			step = s * power
			break
		}
	}
	ticks := []float64{0}
	for i := 1; ticks[len(ticks)-1] < high; i++ {
		ticks = append(ticks, float64(i)*step)
	}
	return ticks
}

// newAxis returns a linear axis, or a logarithmic one if the values need it.
func newAxis(name string, unit compare.Unit, values []float64, steps int) axis {
	low, high := math.Inf(1), 0.0
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if low <= 0 || high < apart*low {
		return linearAxis(name, unit, values, steps)
	}
	const margin = 1.5
	a := axis{name: name + " (logarithmic)", unit: unit, logarithmic: true, low: low / margin, high: high * margin}
	a.ticks = powers(a.low, a.high, unit, steps)
	return a
}

// powers are those of ten between low and high, with 2 and 5 times each if there
// is room, or not all if there is none; of bytes those of 16, with 4 times each.
func powers(low, high float64, unit compare.Unit, steps int) []float64 {
	base, between := 10.0, []float64{1, 2, 5}
	if unit == compare.Bytes || unit == compare.BytesPerSecond {
		base, between = 16, []float64{1, 4}
	}
	decades := math.Log(high/low) / math.Log(base)
	if decades*float64(len(between)) > float64(steps) {
		between = between[:1]
	}
	base = math.Pow(base, math.Ceil(decades/float64(steps)))
	var ticks []float64
	for power := math.Pow(base, math.Floor(math.Log(low)/math.Log(base))); power <= high; power *= base {
		for _, f := range between {
			if tick := f * power; low <= tick && tick <= high {
				ticks = append(ticks, tick)
			}
		}
	}
	return ticks
}

// at is where a value is on the axis, in the library's numbers.
func (a *axis) at(v float64) float64 {
	if a.logarithmic {
		return math.Log10(v)
	}
	return v
}

// part is where a value is between the ends, from 0 to 1.
func (a *axis) part(v float64) float64 {
	return (a.at(v) - a.at(a.low)) / (a.at(a.high) - a.at(a.low))
}

// chartTicks are the ticks with their labels. The library ends an axis at the
// outermost ticks, so that there is one without a label at each end.
func (a *axis) chartTicks() []chart.Tick {
	ticks := []chart.Tick{{Value: a.at(a.low)}}
	for _, v := range a.ticks {
		ticks = append(ticks, chart.Tick{Value: a.at(v), Label: format(a.unit, v)})
	}
	return append(ticks, chart.Tick{Value: a.at(a.high)})
}

func (a *axis) chartRange() chart.Range {
	return &chart.ContinuousRange{Min: a.at(a.low), Max: a.at(a.high)}
}
