package guestmem

import (
	"sync/atomic"
	"unsafe"
)

// heapBytes returns size zeroed bytes whose first is aligned to 8 bytes, so
// that aligned guest addresses are aligned host addresses.
func heapBytes(size uint64) []byte {
	words := make([]uint64, size/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), size)
}

// word returns the aligned 32-bit word of RAM that holds the 16 bits at a,
// and by how many bits they are shifted up in it. Go has no 16-bit atomics,
// and on x86 an aligned 32-bit access has the order of a 16-bit one.
func (m *Memory) word(a Addr) (w *uint32, shift uint, err error) {
	if a%2 != 0 {
		return nil, 0, &AccessError{Addr: a, Len: 2}
	}
	b, err := m.Slice(a.AlignDown(4), 4) // ranges are whole pages, so this is RAM if a is
	if err != nil {
		return nil, 0, &AccessError{Addr: a, Len: 2}
	}
	return (*uint32)(unsafe.Pointer(unsafe.SliceData(b))), uint(a%4) * 8, nil
}

// Load16 reads the little-endian 16-bit value at a, which must be even, with
// acquire order: what the guest wrote before it wrote this value is visible
// after. It is for ring indexes and flags.
func (m *Memory) Load16(a Addr) (uint16, error) {
	w, shift, err := m.word(a)
	if err != nil {
		return 0, err
	}
	return uint16(atomic.LoadUint32(w) >> shift), nil
}

// Store16 writes v as little-endian 16 bits at a, which must be even, with
// release order: what was written before it is visible to a guest that sees
// v. The neighbour in the same 32-bit word is kept, whoever writes it.
func (m *Memory) Store16(a Addr, v uint16) error {
	w, shift, err := m.word(a)
	if err != nil {
		return err
	}
	for {
		old := atomic.LoadUint32(w)
		updated := old&^(0xffff<<shift) | uint32(v)<<shift
		if atomic.CompareAndSwapUint32(w, old, updated) {
			return nil
		}
	}
}
