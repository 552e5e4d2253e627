package uring

import (
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

func setup(entries uint32, p *params) (fd int, err error) {
	n, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, uintptr(entries), uintptr(unsafe.Pointer(p)), 0)
	if errno != 0 {
		return -1, errno
	}
	return int(n), nil
}

func registerEventfd(ring, eventfd int) error {
	fd := int32(eventfd)
	_, _, errno := unix.Syscall6(unix.SYS_IO_URING_REGISTER, uintptr(ring), registerEventfdOp, uintptr(unsafe.Pointer(&fd)), 1, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// enter submits n operations, or as many as it can, and waits for least results.
func enter(ring int, n, least, flags uint32) error {
	for {
		switch _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(ring), uintptr(n), uintptr(least), uintptr(flags), 0, 0); errno {
		case 0:
			return nil
		case unix.EINTR:
		default:
			return errno
		}
	}
}

// mmap maps the rings as p says.
func (r *Ring) mmap(p *params) error {
	size := max(p.sqOff.array+4*p.sqEntries, p.cqOff.cqes+uint32(unsafe.Sizeof(cqe{}))*p.cqEntries)
	rings, err := unix.Mmap(r.fd, offRings, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	r.mapped = append(r.mapped, rings)
	entries, err := unix.Mmap(r.fd, offEntries, int(unsafe.Sizeof(sqe{}))*int(p.sqEntries), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return err
	}
	r.mapped = append(r.mapped, entries)

	at := func(off uint32) *atomic.Uint32 { return (*atomic.Uint32)(unsafe.Pointer(&rings[off])) }
	r.sqHead, r.sqTail = at(p.sqOff.head), at(p.sqOff.tail)
	r.cqHead, r.cqTail, r.cqFlags = at(p.cqOff.head), at(p.cqOff.tail), at(p.cqOff.flags)
	r.entries = unsafe.Slice((*sqe)(unsafe.Pointer(&entries[0])), p.sqEntries)
	r.results = unsafe.Slice((*cqe)(unsafe.Pointer(&rings[p.cqOff.cqes])), p.cqEntries)
	// The kernel takes entries by way of an array of their numbers, which
	// always says: in their order.
	order := unsafe.Slice((*uint32)(unsafe.Pointer(&rings[p.sqOff.array])), p.sqEntries)
	for i := range order {
		order[i] = uint32(i)
	}
	return nil
}

// vectorAddr is where v is. The caller keeps v alive.
func vectorAddr(v []unix.Iovec) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(v)))) }
