package guestmem

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// MapFile puts n bytes of f from offset off on, copy-on-write, in the place of
// the RAM at a, and zeros behind them up to the end of the last page. The
// guest, and this process, may write there as in other RAM: the file never
// changes, and pages that are not written stay shared with all who map the
// same file. Nothing is read until it is used.
//
// a and off must be multiples of [PageSize], and the file must have the n
// bytes: behind its end there would be pages that fault when touched. The
// caller promises that it stays so for as long as the memory is used; whoever
// wants to change a file that may be mapped puts a new one in its place.
//
// On the Go heap ([NewHeap]) the bytes are copied.
func (m *Memory) MapFile(a Addr, f *os.File, off int64, n uint64) error {
	if err := m.mapFile(a, f, off, n); err != nil {
		return fmt.Errorf("guest memory: map %d bytes of %s to %v: %w", n, f.Name(), a, err)
	}
	return nil
}

func (m *Memory) mapFile(a Addr, f *os.File, off int64, n uint64) error {
	if a%PageSize != 0 || off%PageSize != 0 {
		return fmt.Errorf("address or offset %#x is not a multiple of %d", off, PageSize)
	}
	behind, err := bytesBehind(f, off, n)
	if err != nil || n == 0 {
		return err
	}
	size := (n + PageSize - 1) &^ (PageSize - 1) // cannot wrap: n is at most the file's size
	r := m.find(a, size)
	if r == nil {
		return &AccessError{Addr: a, Len: size}
	}
	b := r.host[a-r.Start:][:size]
	if !r.mapping.valid() {
		clear(b[n:])
		_, err := io.ReadFull(io.NewSectionReader(f, off, int64(n)), b[:n])
		return err
	}
	if err := mapPages(b, f.Fd(), off); err != nil {
		return err
	}
	if behind {
		zero(b[n:])
	}
	return nil
}

// bytesBehind checks that f has n bytes from offset off on, and reports
// whether it has more.
func bytesBehind(f *os.File, off int64, n uint64) (bool, error) {
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, errors.New("it is not a regular file")
	}
	size := info.Size()
	if off < 0 || off > size || n > uint64(size-off) {
		return false, fmt.Errorf("the file has %d bytes, not that many from offset %#x on", size, off)
	}
	return n < uint64(size-off), nil
}
