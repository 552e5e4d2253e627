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

// A Uint16 is a place of 16 bits in RAM that guest and monitor use at the same
// time: an index or the flags of a ring. It is good until the memory is closed.
type Uint16 struct {
	word  *uint32
	shift uint
}

// Uint16 returns the place at a, which must be even. Go has no 16-bit atomics,
// so it is the aligned 32-bit word that holds them: on x86 an aligned 32-bit
// access has the order of a 16-bit one.
func (m *Memory) Uint16(a Addr) (Uint16, error) {
	if a%2 != 0 {
		return Uint16{}, &AccessError{Addr: a, Len: 2}
	}
	b, err := m.Slice(a.AlignDown(4), 4) // ranges are whole pages, so this is RAM if a is
	if err != nil {
		return Uint16{}, &AccessError{Addr: a, Len: 2}
	}
	return Uint16{(*uint32)(unsafe.Pointer(unsafe.SliceData(b))), uint(a%4) * 8}, nil
}

// Load reads the little-endian value with acquire order: what the guest wrote
// before it wrote this value is visible after.
func (u Uint16) Load() uint16 {
	return uint16(atomic.LoadUint32(u.word) >> u.shift)
}

// Store writes v, little-endian, with release order: what was written before it
// is visible to a guest that sees v. The neighbour in the same 32-bit word is
// kept, whoever writes it. It is a full fence as well: a load after it sees
// what the guest wrote before it read the old value (SDM 3A §8.2.2, locked
// instructions).
func (u Uint16) Store(v uint16) {
	for {
		old := atomic.LoadUint32(u.word)
		updated := old&^(0xffff<<u.shift) | uint32(v)<<u.shift
		if atomic.CompareAndSwapUint32(u.word, old, updated) {
			return
		}
	}
}

// Load16 reads the value at a, which must be even, as [Uint16.Load] does.
func (m *Memory) Load16(a Addr) (uint16, error) {
	u, err := m.Uint16(a)
	if err != nil {
		return 0, err
	}
	return u.Load(), nil
}

// Store16 writes v at a, which must be even, as [Uint16.Store] does.
func (m *Memory) Store16(a Addr, v uint16) error {
	u, err := m.Uint16(a)
	if err != nil {
		return err
	}
	u.Store(v)
	return nil
}
