// Package eventfd is the kernel's event counter, by which KVM tells a device of
// a guest's write (ioeventfd) and a device interrupts a guest (irqfd) without
// an exit to this process.
package eventfd

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// An FD is an eventfd(2). Its methods but Close may be called from many
// goroutines at once.
type FD struct{ fd int }

// New returns a counter of zero.
func New() (FD, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return FD{}, fmt.Errorf("eventfd: %w", err)
	}
	return FD{fd}, nil
}

// Int is the file descriptor, good until Close.
func (e FD) Int() int { return e.fd }

// Signal adds 1 to the counter and wakes who waits for it.
func (e FD) Signal() error {
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	for {
		switch _, err := unix.Write(e.fd, one[:]); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("eventfd: write: %w", err)
		}
	}
}

// Wait blocks its thread until the counter is above zero, and makes it zero. A
// thread that only ever waits for one counter is woken by one system call;
// Go's poller would take three.
func (e FD) Wait() error {
	var n [8]byte
	for {
		switch _, err := unix.Read(e.fd, n[:]); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return fmt.Errorf("eventfd: read: %w", err)
		}
	}
}

// Close gives the counter back. Nobody may be waiting for it.
func (e FD) Close() error { return unix.Close(e.fd) }
