package report

import (
	"slices"
	"testing"

	"microvm/cmd/vmm/internal/compare"
)

func TestFormat(t *testing.T) {
	for _, tt := range []struct {
		unit compare.Unit
		v    float64
		want string
	}{
		{compare.Seconds, 0, "0 s"},
		{compare.Seconds, 12.345, "12.3 s"},
		{compare.Seconds, 0.0012345, "1.23 ms"},
		{compare.Seconds, 4e-7, "400 ns"},
		{compare.Bytes, 3 << 20, "3 MiB"},
		{compare.Bytes, -1536, "-1.50 KiB"},
		{compare.PerSecond, 2.5e6, "2.50 M/s"},
		{compare.Count, 0, "0"},
		{compare.Count, 1234567, "1234567"},
		{"m", 0.25, "0.25 m"},
	} {
		if got := format(tt.unit, tt.v); got != tt.want {
			t.Errorf("%v %s is %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
}

func TestAxes(t *testing.T) {
	for _, tt := range []struct {
		unit   compare.Unit
		values []float64
		want   []float64
	}{
		{compare.Seconds, []float64{1, 9.4}, []float64{0, 2, 4, 6, 8, 10}},
		{compare.Seconds, []float64{0}, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{compare.Count, []float64{1, 4}, []float64{0, 1, 2, 3, 4}},
		{compare.Count, []float64{1}, []float64{0, 1}},
		{compare.Bytes, []float64{3 << 20, 4 << 20}, []float64{0, 1 << 20, 2 << 20, 3 << 20, 4 << 20}},
		{compare.Seconds, []float64{0.02, 30}, []float64{0.1, 1, 10}},
		{compare.Seconds, []float64{0.02, 0.41}, []float64{0.02, 0.05, 0.1, 0.2, 0.5}},
		{compare.Seconds, []float64{2e-9, 2e9}, []float64{1e-8, 1e-4, 1, 1e4, 1e8}},
		{compare.Bytes, []float64{1 << 20, 1 << 30}, []float64{1 << 20, 16 << 20, 256 << 20}},
	} {
		a := newAxis("", tt.unit, tt.values, 5)
		if !slices.EqualFunc(a.ticks, tt.want, func(x, y float64) bool { return x-y < 1e-9*y+1e-12 && y-x < 1e-9*y+1e-12 }) {
			t.Errorf("axis of %v %s has ticks at %v, want %v", tt.values, tt.unit, a.ticks, tt.want)
		}
		for _, v := range tt.values {
			if p := a.part(v); p < 0 || p > 1 {
				t.Errorf("%v is outside of the axis of %v", v, tt.values)
			}
		}
	}
}
