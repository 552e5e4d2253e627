package report

import (
	"math"
	"strconv"

	"microvm/cmd/vmm/internal/compare"
)

// A scale is a unit as people read it, of which factor go into one.
type scale struct {
	factor float64
	name   string
}

// scales are those of each unit, the largest first.
var scales = map[compare.Unit][]scale{
	compare.Seconds:        {{1, "s"}, {1e-3, "ms"}, {1e-6, "µs"}, {1e-9, "ns"}},
	compare.Bytes:          {{1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}},
	compare.PerSecond:      {{1e9, "G/s"}, {1e6, "M/s"}, {1e3, "k/s"}, {1, "/s"}},
	compare.BytesPerSecond: {{1 << 30, "GiB/s"}, {1 << 20, "MiB/s"}, {1 << 10, "KiB/s"}, {1, "B/s"}},
	compare.Count:          {{1, ""}},
}

// scaleOf returns the largest scale in which v is at least 1.
func scaleOf(unit compare.Unit, v float64) scale {
	all := scales[unit]
	if v == 0 || all == nil {
		return scale{1, string(unit)}
	}
	for _, s := range all {
		if math.Abs(v) >= s.factor {
			return s
		}
	}
	return all[len(all)-1]
}

// format writes a value with three digits and its unit.
func format(unit compare.Unit, v float64) string {
	s := scaleOf(unit, v)
	number := digits(v / s.factor)
	if s.name == "" || unit == compare.Count {
		return number
	}
	return number + " " + s.name
}

// digits writes a number with three digits, or all those before the point.
func digits(v float64) string {
	size := math.Abs(v)
	if size == math.Trunc(size) && size < 1e15 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	places := 0
	switch {
	case size < 1:
		return strconv.FormatFloat(v, 'g', 3, 64)
	case size < 10:
		places = 2
	case size < 100:
		places = 1
	}
	return strconv.FormatFloat(v, 'f', places, 64)
}

// interval writes an interval with one unit.
func interval(unit compare.Unit, low, high float64) string {
	s := scaleOf(unit, high)
	text := digits(low/s.factor) + " to " + digits(high/s.factor)
	if s.name == "" {
		return text
	}
	return text + " " + s.name
}
