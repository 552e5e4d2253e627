package tap

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// readv and writev are readv(2) and writev(2) without the slice of iovecs that
// package unix makes for each call.

func readv(fd int, v []unix.Iovec) (int, error)  { return vector(unix.SYS_READV, fd, v) }
func writev(fd int, v []unix.Iovec) (int, error) { return vector(unix.SYS_WRITEV, fd, v) }

// vector makes the system call again if a signal of Go's runtime interrupts it.
func vector(call uintptr, fd int, v []unix.Iovec) (int, error) {
	for {
		n, _, errno := unix.Syscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)))
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}
