package guestmem

import (
	"math"
	"testing"
)

func TestAddrArithmetic(t *testing.T) {
	const top = Addr(math.MaxUint64)
	for _, tt := range []struct {
		name   string
		got    func() (Addr, bool)
		want   Addr
		wantOK bool
	}{
		{"add", func() (Addr, bool) { return Addr(1).Add(2) }, 3, true},
		{"add up to the top", func() (Addr, bool) { return Addr(1).Add(uint64(top) - 1) }, top, true},
		{"add past the top", func() (Addr, bool) { return Addr(1).Add(uint64(top)) }, 0, false},
		{"align up", func() (Addr, bool) { return Addr(1).AlignUp(4096) }, 4096, true},
		{"align up what is aligned", func() (Addr, bool) { return Addr(4096).AlignUp(4096) }, 4096, true},
		{"align up past the top", func() (Addr, bool) { return top.AlignUp(4096) }, 0, false},
		{"align down", func() (Addr, bool) { return Addr(8191).AlignDown(4096), true }, 4096, true},
	} {
		got, ok := tt.got()
		if ok != tt.wantOK || ok && got != tt.want {
			t.Errorf("%s: %v, %v; want %v, %v", tt.name, got, ok, tt.want, tt.wantOK)
		}
	}
}

func TestRangeContains(t *testing.T) {
	r := Range{Start: 0x1000, Size: 0x1000}
	for _, tt := range []struct {
		a    Addr
		n    uint64
		want bool
	}{
		{0x1000, 0x1000, true},
		{0x1000, 0x1001, false},
		{0xfff, 1, false},
		{0xfff, 2, false},
		{0x1fff, 1, true},
		{0x1fff, 2, false},
		{0x2000, 0, true},
		{0x2000, 1, false},
		{0x2001, 0, false},
		{0x1001, math.MaxUint64, false},
		{math.MaxUint64, 1, false},
		{math.MaxUint64, 0, false},
	} {
		if got := r.Contains(tt.a, tt.n); got != tt.want {
			t.Errorf("%v.Contains(%v, %#x) = %v", r, tt.a, tt.n, got)
		}
	}
}

func TestRangeOverlaps(t *testing.T) {
	r := Range{Start: 0x1000, Size: 0x1000}
	for _, tt := range []struct {
		s    Range
		want bool
	}{
		{Range{0, 0x1000}, false},
		{Range{0, 0x1001}, true},
		{Range{0x1fff, 1}, true},
		{Range{0x2000, 1}, false},
		{Range{0x1800, 0}, false},
		{Range{0, 0x4000}, true},
	} {
		if got := r.Overlaps(tt.s); got != tt.want {
			t.Errorf("%v.Overlaps(%v) = %v", r, tt.s, got)
		}
		if got := tt.s.Overlaps(r); got != tt.want {
			t.Errorf("%v.Overlaps(%v) = %v", tt.s, r, got)
		}
	}
}
