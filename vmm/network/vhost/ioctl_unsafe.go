package vhost

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ioctl performs a request with arg's address as its argument. A signal of Go's
// runtime does not end it.
func ioctl[T any](fd int, request uint, arg *T) error {
	for {
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(request), uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("%s: %w", requestNames[request], errno)
		}
	}
}
