package kvm

import (
	"structs"
	"unsafe"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/abi/linux"
)

// kvmIO is the type byte of every KVM ioctl (KVMIO in the header).
const kvmIO = 0xae

// A request is an ioctl: the name that the header gives it, for errors, and
// its number. The number holds the size of the argument, so a struct of the
// wrong size here is a number that the kernel does not know.
type request struct {
	name   string
	number uint32
}

// The kinds of ioctl, named as the header's macros are: no struct, a struct
// that the kernel writes, one that it reads, one that it does both to.

func ioNone(name string, nr uint32) request {
	return request{name, linux.IO(kvmIO, nr)}
}

func ioR[T any](name string, nr uint32) request {
	return request{name, linux.IOR(kvmIO, nr, sizeof[T]())}
}

func ioW[T any](name string, nr uint32) request {
	return request{name, linux.IOW(kvmIO, nr, sizeof[T]())}
}

func ioWR[T any](name string, nr uint32) request {
	return request{name, linux.IOWR(kvmIO, nr, sizeof[T]())}
}

func sizeof[T any]() uint32 {
	var t T
	return uint32(unsafe.Sizeof(t))
}

// rawIoctl makes one system call. It must be unix.Syscall: that tells Go's
// scheduler that the thread may block, so that its share of the processors
// goes to other goroutines. RawSyscall would keep it, and a vCPU can be in
// KVM_RUN for hours.
//
// Arg may be a pointer that became a uintptr in the call's argument list. The
// directive keeps what it points to alive and off the stack, which may move.
//
//go:uintptrescapes
func rawIoctl(fd int, number uint32, arg uintptr) (uintptr, unix.Errno) {
	r, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), uintptr(number), arg)
	return r, errno
}

// ioctlValue performs r on fd with a plain number as its argument. A signal
// does not end it: Go's runtime sends itself SIGURG at any time, and KVM gives
// up creating a VM or a vCPU with EINTR, having done nothing.
func ioctlValue(fd int, r request, arg uint64) (int, error) {
	for {
		v, errno := rawIoctl(fd, r.number, uintptr(arg))
		switch errno {
		case 0:
			return int(v), nil
		case unix.EINTR:
		default:
			return 0, &Error{Op: r.name, Err: errno}
		}
	}
}

// ioctl performs r on fd with arg's address as its argument. Like ioctlValue,
// it is not ended by a signal.
func ioctl[T any](fd int, r request, arg *T) (int, error) {
	for {
		v, errno := rawIoctl(fd, r.number, uintptr(unsafe.Pointer(arg)))
		switch errno {
		case 0:
			return int(v), nil
		case unix.EINTR:
		default:
			return 0, &Error{Op: r.name, Err: errno}
		}
	}
}

// A countHeader begins each of KVM's arrays of variable length: struct
// kvm_cpuid2, kvm_msrs and kvm_irq_routing.
type countHeader struct {
	_ structs.HostLayout
	N uint32 // in: entries that follow, or room for them; out: how many there are
	_ uint32 // padding, or flags of which none is defined
}

// A counted is a countHeader and the entries that follow it, in one piece of
// memory as the kernel wants it.
type counted[E any] struct {
	header  *countHeader
	entries []E // as many as there is room for
}

// newCounted returns a counted with room for n entries, and n in its header.
//
// Preconditions: E holds no pointers and has a size that is a multiple of 8.
func newCounted[E any](n int) counted[E] {
	words := make([]uint64, 1+n*int(sizeof[E]())/8)
	header := (*countHeader)(unsafe.Pointer(unsafe.SliceData(words)))
	header.N = uint32(n)
	first := unsafe.Add(unsafe.Pointer(header), unsafe.Sizeof(countHeader{}))
	return counted[E]{header: header, entries: unsafe.Slice((*E)(first), n)}
}

// newCountedOf returns a counted that holds a copy of entries.
func newCountedOf[E any](entries []E) counted[E] {
	c := newCounted[E](len(entries))
	copy(c.entries, entries)
	return c
}
