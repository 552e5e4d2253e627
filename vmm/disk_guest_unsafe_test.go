package vmm_test

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// blkdiscard gives a range of a block device away (linux/fs.h BLKDISCARD).
func blkdiscard(f *os.File, off, n uint64) error {
	span := [2]uint64{off, n}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span))); errno != 0 {
		return errno
	}
	return nil
}
