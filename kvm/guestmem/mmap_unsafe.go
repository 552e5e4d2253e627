package guestmem

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// hugePage is the alignment of each range's host memory, so that transparent
// huge pages can stand behind the guest's 2 MiB pages (SDM 3A §4.5.4).
const hugePage = 2 << 20

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
			m.Close()
			return nil, err
		}
		m.regions = append(m.regions, reg)
	}
	return m, nil
}

// mapRAM maps anonymous memory for r, aligned to hugePage.
func mapRAM(r Range) (region, error) {
	whole := uintptr(r.Size) + hugePage
	p, err := unix.MmapPtr(-1, 0, nil, whole, unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, fmt.Errorf("guest memory: mmap of %d bytes: %w", r.Size, err)
	}
	pad := -uintptr(p) & (hugePage - 1)
	host := unsafe.Slice((*byte)(unsafe.Add(p, pad)), r.Size)
	release := func() error {
		if err := unix.MunmapPtr(p, whole); err != nil {
			return fmt.Errorf("guest memory: munmap: %w", err)
		}
		return nil
	}
	return region{Range: r, host: host, release: release}, nil
}

// MapFile puts n bytes of f from offset off on, copy-on-write, in the place of
// the RAM at a. The guest may write there as in other RAM; the file never
// changes, and pages that are not written stay shared with every process that
// maps the same file. a and off must be multiples of [PageSize]; the end of n
// is rounded up to one, and what lies there behind the end of the file reads
// as zero.
//
// The caller promises that the file is not truncated while it is mapped: a
// page that is gone from the file faults when it is touched.
func (m *Memory) MapFile(a Addr, f *os.File, off int64, n uint64) error {
	if a%PageSize != 0 || off%PageSize != 0 || off < 0 {
		return fmt.Errorf("guest memory: map %s: address %v or offset %#x is not a multiple of %d", f.Name(), a, off, PageSize)
	}
	n = (n + PageSize - 1) &^ (PageSize - 1)
	b, err := m.Slice(a, n)
	if err != nil {
		return fmt.Errorf("guest memory: map %s: %w", f.Name(), err)
	}
	_, err = unix.MmapPtr(int(f.Fd()), off, unsafe.Pointer(unsafe.SliceData(b)), uintptr(n),
		unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_FIXED|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("guest memory: map %s: %w", f.Name(), err)
	}
	return nil
}

// HostAddr returns the address in this process of the RAM at a, for
// KVM_SET_USER_MEMORY_REGION and nothing else: the kernel checks what is done
// with it.
func (m *Memory) HostAddr(r Range) (uintptr, error) {
	b, err := m.Slice(r.Start, r.Size)
	if err != nil {
		return 0, err
	}
	return uintptr(unsafe.Pointer(unsafe.SliceData(b))), nil
}
