package main

import (
	"os"

	"golang.org/x/sys/unix"
)

const pageSize = 4096

// A region is memory in pages of 4 KiB that no allocator has touched. It lasts
// as long as the process.
type region []byte

func newRegion(size int) (region, error) {
	r, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	// A kernel without huge pages does not know the advice, and needs none.
	if err := unix.Madvise(r, unix.MADV_NOHUGEPAGE); err != nil && err != unix.EINVAL {
		return nil, os.NewSyscallError("madvise", err)
	}
	return r, nil
}

// touch writes to each page.
func (r region) touch() {
	for i := 0; i < len(r); i += pageSize {
		r[i] = 1
	}
}

// drop gives all pages back to the kernel.
func (r region) drop() error {
	return os.NewSyscallError("madvise", unix.Madvise(r, unix.MADV_DONTNEED))
}
