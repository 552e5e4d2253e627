package guestmem

import "fmt"

// Addr is a guest-physical address: what the guest's hardware would put on
// its memory bus. It is never a host pointer; only this package turns one
// into host bytes.
type Addr uint64

// Add returns a+n; ok is false if the sum wraps around.
func (a Addr) Add(n uint64) (sum Addr, ok bool) {
	sum = a + Addr(n)
	return sum, sum >= a
}

// AlignUp returns the lowest multiple of align that is at least a; ok is
// false if there is none below 2^64.
//
// Preconditions: align is a power of two.
func (a Addr) AlignUp(align uint64) (aligned Addr, ok bool) {
	sum, ok := a.Add(align - 1)
	return sum &^ Addr(align-1), ok
}

// AlignDown returns the highest multiple of align that is at most a.
//
// Preconditions: align is a power of two.
func (a Addr) AlignDown(align uint64) Addr {
	return a &^ Addr(align-1)
}

func (a Addr) String() string { return fmt.Sprintf("%#x", uint64(a)) }

// A Range is Size bytes of guest-physical addresses from Start on.
type Range struct {
	Start Addr
	Size  uint64
}

// End returns the first address after r.
//
// Preconditions: r does not wrap around the end of the address space, as
// holds for every range that a Memory hands out.
func (r Range) End() Addr { return r.Start + Addr(r.Size) }

// Contains reports whether the n bytes at a lie wholly in r. It holds for n
// of 0 only if a itself is an address of r, or the one just after it.
func (r Range) Contains(a Addr, n uint64) bool {
	if a < r.Start {
		return false
	}
	off := uint64(a - r.Start)
	return off <= r.Size && n <= r.Size-off
}

// Overlaps reports whether r and s have an address in common.
func (r Range) Overlaps(s Range) bool {
	return r.Size > 0 && s.Size > 0 && r.Start < s.End() && s.Start < r.End()
}

// String shows r as the half-open interval [start, end).
func (r Range) String() string {
	return fmt.Sprintf("[%#x, %#x)", uint64(r.Start), uint64(r.Start)+r.Size)
}
