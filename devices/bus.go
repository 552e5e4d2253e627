package devices

import (
	"fmt"
	"slices"
)

// A Bus is an address space with devices in it: the x86 I/O ports, or memory
// outside RAM. It is filled before the guest runs and only read afterwards, so
// that finding a device takes no lock.
//
// What no device claims reads as all ones, as an undriven bus does, and
// swallows writes.
type Bus struct {
	name  string
	slots []slot // ascending and disjoint
}

// A slot is a device and the addresses [first, last] that it answers at. The
// bounds are inclusive so that a block may end with the address space.
type slot struct {
	first, last uint64
	dev         Device
}

// NewBus returns an empty bus. Its name stands in errors, such as "I/O port".
func NewBus(name string) *Bus { return &Bus{name: name} }

// Add puts dev at the size addresses from base on. It is an error, and nothing
// is added, if they wrap around or if another device already has one of them.
func (b *Bus) Add(dev Device, base, size uint64) error {
	last := base + size - 1
	if size == 0 || last < base {
		return fmt.Errorf("%s: %s at %#x has a size of %#x", b.name, dev.Name(), base, size)
	}
	i := b.after(base)
	for _, near := range b.slots[max(i-1, 0):min(i+1, len(b.slots))] {
		if base <= near.last && near.first <= last {
			return fmt.Errorf("%s: %s at [%#x, %#x] overlaps %s at [%#x, %#x]",
				b.name, dev.Name(), base, last, near.dev.Name(), near.first, near.last)
		}
	}
	b.slots = slices.Insert(b.slots, i, slot{first: base, last: last, dev: dev})
	return nil
}

// after returns the index of the first slot that starts above addr.
func (b *Bus) after(addr uint64) int {
	i, _ := slices.BinarySearchFunc(b.slots, addr, func(s slot, addr uint64) int {
		if s.first <= addr {
			return -1
		}
		return 1
	})
	return i
}

// Find returns the device that answers for all n bytes at addr and the offset
// of addr in its block, or nil if there is none. An access that straddles the
// end of a block finds nothing.
func (b *Bus) Find(addr, n uint64) (dev Device, off uint64) {
	i := b.after(addr) - 1
	if i < 0 {
		return nil, 0
	}
	s := b.slots[i]
	if addr > s.last || n-1 > s.last-addr {
		return nil, 0
	}
	return s.dev, addr - s.first
}

// Read fills p with what the bus reads as at addr, and returns the device that
// answered, nil if none did.
func (b *Bus) Read(addr uint64, p []byte) Device {
	dev, off := b.Find(addr, uint64(len(p)))
	if dev == nil {
		for i := range p {
			p[i] = 0xff
		}
		return nil
	}
	dev.ReadIO(off, p)
	return dev
}

// Write writes p to the bus at addr, and returns the device that took it, nil
// if none did.
func (b *Bus) Write(addr uint64, p []byte) Device {
	dev, off := b.Find(addr, uint64(len(p)))
	if dev != nil {
		dev.WriteIO(off, p)
	}
	return dev
}

// All calls yield for each device in ascending order of address, until it
// returns false.
func (b *Bus) All(yield func(dev Device, base, size uint64) bool) {
	for _, s := range b.slots {
		if !yield(s.dev, s.first, s.last-s.first+1) {
			return
		}
	}
}
