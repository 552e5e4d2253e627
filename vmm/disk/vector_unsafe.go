package disk

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A scratch is memory for one operation after another.
type scratch struct{ v []unix.Iovec }

// vector makes of pieces, none of which is empty, what the kernel takes. It is
// good until the next call.
func (s *scratch) vector(pieces [][]byte) []unix.Iovec {
	s.v = s.v[:0]
	for _, p := range pieces {
		s.v = append(s.v, unix.Iovec{Base: unsafe.SliceData(p), Len: uint64(len(p))})
	}
	return s.v
}

// skip leaves out the first n bytes of v. It changes v.
func skip(v []unix.Iovec, n int) []unix.Iovec {
	for len(v) > 0 && uint64(n) >= v[0].Len {
		n -= int(v[0].Len)
		v = v[1:]
	}
	if n > 0 {
		v[0].Base = (*byte)(unsafe.Add(unsafe.Pointer(v[0].Base), n))
		v[0].Len -= uint64(n)
	}
	return v
}

// aligned reports whether all of v is at multiples of align, a power of two.
func aligned(v []unix.Iovec, align uint64) bool {
	var bits uint64
	for i := range v {
		bits |= uint64(uintptr(unsafe.Pointer(v[i].Base))) | v[i].Len
	}
	return bits&(align-1) == 0
}

// readv is preadv2(2). Unlike the one of package unix it allocates nothing.
func readv(fd int, v []unix.Iovec, off int64, flags uint32) (int, error) {
	return vectorCall(unix.SYS_PREADV2, fd, v, off, flags)
}

// writev is pwritev2(2).
func writev(fd int, v []unix.Iovec, off int64, flags uint32) (int, error) {
	return vectorCall(unix.SYS_PWRITEV2, fd, v, off, flags)
}

func vectorCall(call uintptr, fd int, v []unix.Iovec, off int64, flags uint32) (int, error) {
	// The offset has 64 bits on this architecture; its upper half is not
	// looked at.
	n, _, errno := unix.Syscall6(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(v))), uintptr(len(v)), uintptr(off), 0, uintptr(flags))
	runtime.KeepAlive(v)
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

// blkdiscard is the ioctl BLKDISCARD (linux/fs.h).
func blkdiscard(fd int, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span))); errno != 0 {
		return errno
	}
	return nil
}
