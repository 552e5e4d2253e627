package guestmem

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Release gives the whole pages of b back to the host. The guest, which may run
// meanwhile, reads them as they would be had nobody ever written there: as zero,
// or as the contents of a file that [Memory.MapFile] has put there. The parts of
// pages at the ends of b stay as they are.
//
// Nobody may keep host pages of the memory for longer than a request (by
// io_uring's registered buffers, say): the guest would get others.
//
// b is what m has handed out, as it was or a part of it; Release panics if it
// is other memory.
func (m *Memory) Release(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	r, off := m.regionOf(b)
	if r == nil {
		panic("guestmem: Release of bytes that are not this memory's")
	}
	first, last := wholePages(off, uint64(len(b)))
	switch {
	case first >= last:
		return nil
	case !r.mapping.valid():
		clear(r.host[first:last])
		return nil
	}
	if err := unix.Madvise(r.host[first:last], unix.MADV_DONTNEED); err != nil {
		return fmt.Errorf("guest memory: release %v: %w", Range{r.Start + Addr(first), last - first}, err)
	}
	return nil
}

// wholePages returns the part of the n bytes from offset off on that is whole
// pages, as offsets; there is none if first is not below last.
func wholePages(off, n uint64) (first, last uint64) {
	return (off + PageSize - 1) &^ (PageSize - 1), (off + n) &^ (PageSize - 1)
}
