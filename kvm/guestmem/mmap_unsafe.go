package guestmem

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the alignment of each range's host memory, so that transparent
// huge pages can stand behind the guest's 2 MiB pages (SDM 3A §4.5.4).
const hugePage = 2 << 20

const (
	ramProt  = unix.PROT_READ | unix.PROT_WRITE
	ramFlags = unix.MAP_PRIVATE | unix.MAP_ANONYMOUS | unix.MAP_NORESERVE
)

// New maps the given ranges of RAM, which must be ascending, disjoint and a
// whole number of pages each. No page is touched, and none is reserved: a
// guest may be larger than the host's free memory as long as it does not use
// what it has.
func New(ranges ...Range) (*Memory, error) {
	if err := check(ranges); err != nil {
		return nil, err
	}
	m := &Memory{}
	for _, r := range ranges {
		reg, err := mapRAM(r)
		if err != nil {
			return nil, errors.Join(err, m.Close())
		}
		m.regions = append(m.regions, reg)
	}
	return m, nil
}

// A mapping is a piece of address space from the host's kernel; zero is none.
type mapping struct {
	start unsafe.Pointer
	size  uintptr
}

func (m mapping) valid() bool { return m.start != nil }

// unmap gives the address space back.
func (m mapping) unmap() error {
	if !m.valid() {
		return nil
	}
	if err := unix.MunmapPtr(m.start, m.size); err != nil {
		return fmt.Errorf("guest memory: munmap: %w", err)
	}
	return nil
}

// mapRAM maps anonymous memory for r, aligned to hugePage.
func mapRAM(r Range) (region, error) {
	m := mapping{size: uintptr(r.Size) + hugePage}
	var err error
	if m.start, err = unix.MmapPtr(-1, 0, nil, m.size, ramProt, ramFlags); err != nil {
		return region{}, fmt.Errorf("guest memory: mmap of %d bytes: %w", r.Size, err)
	}
	pad := -uintptr(m.start) & (hugePage - 1)
	host := unsafe.Slice((*byte)(unsafe.Add(m.start, pad)), r.Size)
	return region{Range: r, host: host, mapping: m}, nil
}

// renew puts untouched, zero memory in the place of b.
//
// Preconditions: b is a whole number of mapped pages.
func renew(b []byte) error {
	if _, err := unix.MmapPtr(-1, 0, start(b), uintptr(len(b)), ramProt, ramFlags|unix.MAP_FIXED); err != nil {
		return fmt.Errorf("guest memory: mmap of %d bytes: %w", len(b), err)
	}
	return nil
}

// mapPages puts a file's pages from offset off on, copy-on-write, in the place
// of b.
//
// Preconditions: b is a whole number of mapped pages, off one of file pages,
// and the file has at least one byte in each.
func mapPages(b []byte, fd uintptr, off int64) error {
	_, err := unix.MmapPtr(int(fd), off, start(b), uintptr(len(b)), ramProt,
		unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	return err
}

// HugePages tells the host whether to put transparent huge pages of 2 MiB
// behind RAM. With them the guest has fewer nested page faults, and each
// touch of new memory costs up to 2 MiB. If it is never called, the host's own
// setting holds (/sys/kernel/mm/transparent_hugepage/enabled). What MapFile or
// Zero maps afterwards has the host's setting again. The error wraps
// EINVAL if the host's kernel has none.
func (m *Memory) HugePages(on bool) error {
	advice := unix.MADV_NOHUGEPAGE
	if on {
		advice = unix.MADV_HUGEPAGE
	}
	for i := range m.regions {
		r := &m.regions[i]
		if !r.mapping.valid() {
			continue
		}
		if err := unix.Madvise(r.host, advice); err != nil {
			return fmt.Errorf("guest memory: huge pages for %v: %w", r.Range, err)
		}
	}
	return nil
}

// HostAddr returns the address in this process of the RAM of r, for
// KVM_SET_USER_MEMORY_REGION and nothing else: the kernel checks what is done
// with it. It is good until Close.
func (m *Memory) HostAddr(r Range) (uintptr, error) {
	b, err := m.Slice(r.Start, r.Size)
	if err != nil {
		return 0, err
	}
	return uintptr(start(b)), nil
}

// start returns the host address of b's first byte.
func start(b []byte) unsafe.Pointer { return unsafe.Pointer(unsafe.SliceData(b)) }

// regionOf returns the region that b is part of and b's offset in it, or nil if
// b is not of m.
//
// Preconditions: b is not empty.
func (m *Memory) regionOf(b []byte) (r *region, off uint64) {
	for i := range m.regions {
		r := &m.regions[i]
		// If b lies before the region, the difference wraps, and is too large.
		off := uint64(uintptr(start(b)) - uintptr(start(r.host)))
		if off < r.Size && uint64(len(b)) <= r.Size-off {
			return r, off
		}
	}
	return nil, 0
}
