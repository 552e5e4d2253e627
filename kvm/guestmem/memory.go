// Package guestmem is guest-physical memory: the one place that turns an
// address that a guest chose into bytes of this process.
//
// A Memory is a handful of RAM ranges, each one contiguous piece of host
// memory. On a PC the ranges go around the hole below 4 GiB that belongs to
// PCI and to the interrupt controllers:
//
//	4 GiB + (size-3 GiB) ┌──────────────────┐
//	                     │ RAM, the rest    │  if the size is above 3 GiB
//	               4 GiB ├──────────────────┤
//	                     │ hole: MMIO,      │  no RAM: an access leaves the
//	                     │ APICs, firmware  │  guest with KVM_EXIT_MMIO
//	               3 GiB ├──────────────────┤
//	                     │ RAM              │
//	                   0 └──────────────────┘
//
// # Safety
//
// Every access is checked against the ranges, with arithmetic that cannot
// wrap, before a host byte is touched; one that is not wholly RAM is an
// [*AccessError] and never a panic. The slices that are handed out alias
// memory that the guest goes on writing: whoever decides on a value copies it
// first (copy, check, use).
//
// # Coherence
//
// Load16 has acquire and Store16 release order, which is what virtio's ring
// indexes need of their reader and writer. A store that must be seen before a
// later load (EVENT_IDX) wants more: an atomic read-modify-write, which Store16 is.
//
// # Laziness
//
// RAM is mapped and not touched: a page costs the host something when the
// guest, or a loader, first writes to it, and not before. Where the host uses
// transparent huge pages of its own accord, such a page may be one of 2 MiB:
// see [Memory.HugePages]. A file that is to be in memory when the guest starts
// is mapped by [Memory.MapFile], and costs nothing until it is used. What a
// running guest has no use for goes back to the host by [Memory.Release].
package guestmem

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// PageSize is the size in bytes of the smallest x86 page (SDM 3A §4.5), in
// which ranges, mappings and memory slots are measured.
const PageSize = 4096

// A Memory is the RAM of one guest. Its methods may be called from many
// goroutines at once, but for Close, after which no other may be running.
type Memory struct {
	regions []region // ascending, disjoint, none of them empty
}

// A region is a range of RAM and the host bytes that stand for it.
type region struct {
	Range
	host    []byte
	mapping mapping // zero on the heap
}

// An AccessError says that guest-physical memory has no such bytes. A device
// that meets one was given a bad address by the guest.
type AccessError struct {
	Addr Addr
	Len  uint64
}

func (e *AccessError) Error() string {
	return fmt.Sprintf("guest memory: %d bytes at %v are not RAM", e.Len, e.Addr)
}

// check reports what is wrong with a set of ranges, if anything is.
func check(ranges []Range) error {
	if len(ranges) == 0 {
		return errors.New("guest memory: no ranges")
	}
	for i, r := range ranges {
		switch end, ok := r.Start.Add(r.Size); {
		case r.Size == 0:
			return fmt.Errorf("guest memory: range at %v is empty", r.Start)
		case !ok || end > 1<<52: // SDM 3A §4.1.4: MAXPHYADDR is at most 52
			return fmt.Errorf("guest memory: range at %v of %d bytes passes the end of the address space", r.Start, r.Size)
		case r.Start%PageSize != 0 || r.Size%PageSize != 0:
			return fmt.Errorf("guest memory: range %v is not a whole number of %d-byte pages", r, PageSize)
		case i > 0 && r.Start < ranges[i-1].End():
			return fmt.Errorf("guest memory: range %v is not above range %v", r, ranges[i-1])
		}
	}
	return nil
}

// NewHeap returns zeroed memory on the Go heap, for tests: the race detector
// does not see what is mapped outside it. It panics if the ranges are not
// ascending, disjoint and a whole number of pages each.
func NewHeap(ranges ...Range) *Memory {
	if err := check(ranges); err != nil {
		panic(err)
	}
	m := &Memory{}
	for _, r := range ranges {
		m.regions = append(m.regions, region{Range: r, host: heapBytes(r.Size)})
	}
	return m
}

// Ranges returns the ranges of RAM in ascending order.
func (m *Memory) Ranges() []Range {
	var rs []Range
	for i := range m.regions {
		rs = append(rs, m.regions[i].Range)
	}
	return rs
}

// Size returns the number of bytes of RAM.
func (m *Memory) Size() uint64 {
	var n uint64
	for i := range m.regions {
		n += m.regions[i].Size
	}
	return n
}

// Contains reports whether the n bytes at a are all RAM of one range.
func (m *Memory) Contains(a Addr, n uint64) bool {
	return m.find(a, n) != nil
}

// find returns the region in which all n bytes at a lie, or nil.
func (m *Memory) find(a Addr, n uint64) *region {
	// A binary search by hand: each descriptor of a guest comes through here, and
	// calls of a comparing function were most of what it cost. Region i starts at a
	// or below, region end above, as far as there are such regions.
	i, end := -1, len(m.regions)
	for i+1 < end {
		if middle := (i + end) / 2; m.regions[middle].Start <= a {
			i = middle
		} else {
			end = middle
		}
	}
	if i < 0 || !m.regions[i].Contains(a, n) {
		return nil
	}
	return &m.regions[i]
}

// Slice returns the n bytes of RAM at a. They alias memory that the guest
// still writes, and have no room to grow (capacity n). The error is an
// [*AccessError] if they are not all RAM of one range.
func (m *Memory) Slice(a Addr, n uint64) ([]byte, error) {
	r := m.find(a, n)
	if r == nil {
		return nil, &AccessError{Addr: a, Len: n}
	}
	off := uint64(a - r.Start)
	return r.host[off : off+n : off+n], nil
}

// ReadAt copies RAM at guest-physical address off into p, all of it or
// nothing. It implements [io.ReaderAt].
func (m *Memory) ReadAt(p []byte, off int64) (int, error) {
	b, err := m.Slice(Addr(off), uint64(len(p)))
	if err != nil {
		return 0, err
	}
	return copy(p, b), nil
}

// WriteAt copies p into RAM at guest-physical address off, all of it or
// nothing. It implements [io.WriterAt].
func (m *Memory) WriteAt(p []byte, off int64) (int, error) {
	if err := m.CopyIn(Addr(off), p); err != nil {
		return 0, err
	}
	return len(p), nil
}

// CopyIn copies p into RAM at a, all of it or nothing. The error is an
// [*AccessError].
func (m *Memory) CopyIn(a Addr, p []byte) error {
	b, err := m.Slice(a, uint64(len(p)))
	if err != nil {
		return err
	}
	copy(b, p)
	return nil
}

// Zero makes the n bytes of RAM at a zero. Whole pages go back to the host,
// mapped files among them; a page that nobody has touched stays so.
func (m *Memory) Zero(a Addr, n uint64) error {
	r := m.find(a, n)
	if r == nil {
		return &AccessError{Addr: a, Len: n}
	}
	off := uint64(a - r.Start)
	first, last := wholePages(off, n)
	if !r.mapping.valid() || first >= last {
		zero(r.host[off : off+n])
		return nil
	}
	zero(r.host[off:first])
	zero(r.host[last : off+n])
	return renew(r.host[first:last])
}

// zero makes b zero. It writes only if it must: where the host's kernel has one page of
// zeros for all that have only been read, as Linux's has, reading an untouched page costs
// no memory. Writing one does.
func zero(b []byte) {
	if slices.ContainsFunc(b, func(c byte) bool { return c != 0 }) {
		clear(b)
	}
}

// Close gives the memory back to the host. No slice of it may be used, and no
// virtual machine may run on it, afterwards.
func (m *Memory) Close() error {
	var errs []error
	for i := range m.regions {
		errs = append(errs, m.regions[i].mapping.unmap())
	}
	m.regions = nil
	return errors.Join(errs...)
}

var (
	_ io.ReaderAt = (*Memory)(nil)
	_ io.WriterAt = (*Memory)(nil)
)
