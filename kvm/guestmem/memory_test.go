package guestmem

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"sync"
	"testing"
)

// holed is a small PC: RAM, a hole, RAM, and more RAM right behind that.
var holed = []Range{
	{Start: 0, Size: 2 * PageSize},
	{Start: 4 * PageSize, Size: PageSize},
	{Start: 5 * PageSize, Size: 2 * PageSize},
}

// mapped returns RAM from the host, closed when the test ends.
func mapped(t *testing.T, ranges ...Range) *Memory {
	t.Helper()
	m, err := New(ranges...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// kinds calls test for memory on the heap and memory from the host.
func kinds(t *testing.T, ranges []Range, test func(*testing.T, *Memory)) {
	t.Run("heap", func(t *testing.T) { test(t, NewHeap(ranges...)) })
	t.Run("mapped", func(t *testing.T) { test(t, mapped(t, ranges...)) })
}

func TestNewRefusesBadRanges(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ranges []Range
	}{
		{"none", nil},
		{"empty", []Range{{0, 0}}},
		{"part of a page", []Range{{0, 100}}},
		{"not at a page", []Range{{100, PageSize}}},
		{"past the address space", []Range{{1<<52 - PageSize, 2 * PageSize}}},
		{"wraps", []Range{{math.MaxUint64 - PageSize + 1, 2 * PageSize}}},
		{"overlap", []Range{{0, 2 * PageSize}, {PageSize, PageSize}}},
		{"descend", []Range{{PageSize, PageSize}, {0, PageSize}}},
		{"more than the host has addresses", []Range{{0, 1 << 51}}},
	} {
		if m, err := New(tt.ranges...); err == nil {
			m.Close()
			t.Errorf("%s: no error", tt.name)
		}
	}
}

func TestSlice(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		for _, tt := range []struct {
			a  Addr
			n  uint64
			ok bool
		}{
			{0, 2 * PageSize, true},
			{0, 2*PageSize + 1, false},
			{2*PageSize - 1, 1, true},
			{2*PageSize - 1, 2, false},
			{2 * PageSize, 0, true},
			{2 * PageSize, 1, false},
			{3 * PageSize, 0, false},
			{4*PageSize - 1, 1, false},
			{4 * PageSize, PageSize, true},
			{4 * PageSize, PageSize + 1, false}, // one range's memory does not go on in the next one's
			{5 * PageSize, 0, true},
			{7 * PageSize, 0, true},
			{7 * PageSize, 1, false},
			{math.MaxUint64, 1, false},
			{1, math.MaxUint64, false},
		} {
			b, err := m.Slice(tt.a, tt.n)
			if bad := (*AccessError)(nil); !tt.ok {
				if !errors.As(err, &bad) || bad.Addr != tt.a || bad.Len != tt.n {
					t.Errorf("Slice(%v, %#x): error %v", tt.a, tt.n, err)
				}
				continue
			}
			if err != nil || uint64(len(b)) != tt.n || uint64(cap(b)) != tt.n {
				t.Errorf("Slice(%v, %#x): length %#x, capacity %#x, error %v", tt.a, tt.n, len(b), cap(b), err)
			}
			if m.Contains(tt.a, tt.n) != tt.ok {
				t.Errorf("Contains(%v, %#x) differs from Slice", tt.a, tt.n)
			}
		}
	})
}

func TestReadAndWrite(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		want := []byte("abc")
		if n, err := m.WriteAt(want, 5*PageSize-3); n != 3 || err != nil {
			t.Fatal(n, err)
		}
		got := make([]byte, 3)
		if n, err := m.ReadAt(got, 5*PageSize-3); n != 3 || err != nil || !bytes.Equal(got, want) {
			t.Errorf("ReadAt: %q, %d, %v", got, n, err)
		}
		if n, err := m.WriteAt(want, 5*PageSize-2); n != 0 || err == nil {
			t.Errorf("WriteAt over the end of a range: %d, %v", n, err)
		}
		if n, err := m.ReadAt(got, -1); n != 0 || err == nil {
			t.Errorf("ReadAt(-1): %d, %v", n, err)
		}
		if err := m.CopyIn(4*PageSize-1, want); err == nil {
			t.Error("CopyIn into the hole: no error")
		}
		b, err := m.Slice(4*PageSize, PageSize)
		if err != nil || b[PageSize-2] != 'b' || b[0] != 0 {
			t.Errorf("after failed writes: % x…, %v", b[:1], err)
		}
	})
}

func TestSizeAndRanges(t *testing.T) {
	m := NewHeap(holed...)
	if got := m.Size(); got != 5*PageSize {
		t.Errorf("Size() = %d", got)
	}
	if got := m.Ranges(); !slices.Equal(got, holed) {
		t.Errorf("Ranges() = %v", got)
	}
}

func TestZero(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		for _, r := range []Range{
			{10, 20},                         // in a page
			{PageSize - 1, 2},                // over two pages, none of them whole
			{0, PageSize},                    // a page
			{1, 2*PageSize - 2},              // two parts
			{5*PageSize + 7, PageSize + 100}, // a part, no whole page
			{5 * PageSize, 2 * PageSize},     // the end of memory
			{7 * PageSize, 0},
		} {
			for _, rng := range holed {
				fill(t, m, rng, 0xaa)
			}
			if err := m.Zero(r.Start, r.Size); err != nil {
				t.Fatal(r, err)
			}
			for _, rng := range holed {
				b, err := m.Slice(rng.Start, rng.Size)
				if err != nil {
					t.Fatal(err)
				}
				for i, c := range b {
					if a := rng.Start + Addr(i); (c == 0) != (a >= r.Start && a < r.End()) {
						t.Fatalf("Zero(%v): byte %v is %#x", r, a, c)
					}
				}
			}
		}
		if err := m.Zero(0, 4*PageSize); err == nil {
			t.Error("Zero of the hole: no error")
		}
	})
}

func fill(t *testing.T, m *Memory, r Range, c byte) {
	t.Helper()
	b, err := m.Slice(r.Start, r.Size)
	if err != nil {
		t.Fatal(err)
	}
	for i := range b {
		b[i] = c
	}
}

func TestLoadAndStore16(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		for _, a := range []Addr{0, 2, 2*PageSize - 2, 4 * PageSize} {
			if err := m.Store16(a, 0x1234); err != nil {
				t.Error(err)
			}
			if v, err := m.Load16(a); v != 0x1234 || err != nil {
				t.Errorf("Load16(%v) = %#x, %v", a, v, err)
			}
			b, err := m.Slice(a, 2)
			if err != nil || b[0] != 0x34 || b[1] != 0x12 {
				t.Errorf("at %v: % x, %v; want little-endian", a, b, err)
			}
		}
		for _, a := range []Addr{1, 2*PageSize - 1, 2 * PageSize, math.MaxUint64, math.MaxUint64 - 1} {
			if _, err := m.Load16(a); err == nil {
				t.Errorf("Load16(%v): no error", a)
			}
			if err := m.Store16(a, 1); err == nil {
				t.Errorf("Store16(%v): no error", a)
			}
		}
	})
}

// The two halves of a 32-bit word may be two ring indexes, with a writer each.
func TestStore16KeepsItsNeighbour(t *testing.T) {
	const rounds = 10_000
	m := NewHeap(Range{0, PageSize})
	var writers sync.WaitGroup
	for _, a := range []Addr{4, 6} {
		writers.Go(func() {
			for i := range uint16(rounds) {
				if err := m.Store16(a, i); err != nil {
					t.Error(err)
					return
				}
				if v, err := m.Load16(a); v != i || err != nil {
					t.Errorf("Load16(%v) = %d, %v; only this goroutine writes there, last %d", a, v, err, i)
					return
				}
			}
		})
	}
	writers.Wait()
}

// What is written before Store16 is seen by whoever Load16 shows the new
// value. The race detector is the judge.
func TestStore16Releases(t *testing.T) {
	m := NewHeap(Range{0, PageSize})
	data, err := m.Slice(0x100, 1)
	if err != nil {
		t.Fatal(err)
	}
	var writer sync.WaitGroup
	writer.Go(func() {
		data[0] = 42
		if err := m.Store16(2, 1); err != nil {
			t.Error(err)
		}
	})
	for {
		v, err := m.Load16(2)
		if err != nil {
			t.Fatal(err)
		}
		if v == 1 {
			break
		}
	}
	if data[0] != 42 {
		t.Errorf("data is %d", data[0])
	}
	writer.Wait()
}

// FuzzAccess states the law: an access is all in RAM, or it is an AccessError,
// and never anything else.
func FuzzAccess(f *testing.F) {
	for _, r := range holed {
		f.Add(uint64(r.Start), r.Size)
		f.Add(uint64(r.End()), uint64(1))
		f.Add(uint64(r.End())-1, uint64(2))
	}
	f.Add(uint64(math.MaxUint64), uint64(math.MaxUint64))
	f.Fuzz(func(t *testing.T, addr, n uint64) {
		a, m := Addr(addr), NewHeap(holed...)
		b, err := m.Slice(a, n)
		inRAM := slices.ContainsFunc(holed, func(r Range) bool {
			// Subtraction only, where the code under test adds.
			return a >= r.Start && a <= r.End() && n <= uint64(r.End()-a)
		})
		switch bad := (*AccessError)(nil); {
		case inRAM && (err != nil || uint64(len(b)) != n || cap(b) != len(b)):
			t.Fatalf("Slice(%v, %d): %d bytes, %v", a, n, len(b), err)
		case !inRAM && !errors.As(err, &bad):
			t.Fatalf("Slice(%v, %d): %d bytes, %v; it is not RAM", a, n, len(b), err)
		}
		if err := m.Zero(a, n); (err == nil) != inRAM {
			t.Fatalf("Zero(%v, %d): %v", a, n, err)
		}
		p := make([]byte, n%(8*PageSize))
		inRAM = m.Contains(a, uint64(len(p)))
		if err := m.CopyIn(a, p); (err == nil) != inRAM {
			t.Fatalf("CopyIn(%v, %d bytes): %v", a, len(p), err)
		}
		even := a%2 == 0 && m.Contains(a, 2)
		if err := m.Store16(a, 1); (err == nil) != even {
			t.Fatalf("Store16(%v): %v", a, err)
		}
		if _, err := m.Load16(a); (err == nil) != even {
			t.Fatalf("Load16(%v): %v", a, err)
		}
	})
}
