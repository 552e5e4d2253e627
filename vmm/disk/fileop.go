package disk

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
	"microvm/vmm/disk/internal/vector"
)

// quick implements storage.
//
// In a file system that has nothing but memory, nothing waits. Elsewhere reads
// that the page cache can answer are tried, and writes of whole pages done:
// they go to the page cache, and to hand them to others costs more than they
// do.
func (f *file) quick(op *block.Op, s *scratch) bool {
	switch {
	case op.Kind == block.Flush && f.unsafe:
		return true
	case f.direct != nil:
		return false
	case f.inMemory:
		op.Err = f.do(op, s)
		return true
	case op.Kind == block.Read && !f.cannotTell.Load():
		n, err := readv(f.fd, s.vector(op.Data), op.Off, unix.RWF_NOWAIT)
		if errors.Is(err, unix.EOPNOTSUPP) {
			f.cannotTell.Store(true)
		}
		return err == nil && int64(n) == op.Len
	case op.Kind == block.Write && op.Off%pageSize == 0 && op.Len%pageSize == 0 && f.flags(op) == 0:
		op.Err = f.do(op, s)
		return true
	}
	return false
}

// do implements storage.
func (f *file) do(op *block.Op, s *scratch) error {
	switch op.Kind {
	case block.Read, block.Write:
		return f.transfer(op, s)
	case block.Flush:
		return f.flush()
	case block.Discard:
		return f.discard(op)
	}
	if err := f.zero(op, s); err != nil || !op.Durable {
		return err
	}
	return f.flush()
}

// Size and ReadVector make a file one that an overlay can be over.
func (f *file) Size() int64 { return f.info.Size }

// ReadVector fills p from off on.
func (f *file) ReadVector(p [][]byte, off int64) error {
	op := block.Op{Kind: block.Read, Off: off, Len: vector.Len(p), Data: p}
	return f.transfer(&op, &scratch{})
}

// flush makes all that was written durable.
func (f *file) flush() error {
	if f.unsafe {
		return nil
	}
	return retry(func() error { return unix.Fdatasync(f.fd) })
}

// flags are those of a write.
func (f *file) flags(op *block.Op) uint32 {
	if op.Durable && !f.unsafe {
		return unix.RWF_DSYNC
	}
	return 0
}

// target is the descriptor for a transfer from or to v.
func (f *file) target(op *block.Op, v []unix.Iovec) int {
	if f.direct != nil && uint64(op.Off)%f.align == 0 && aligned(v, f.align) {
		return f.directFD
	}
	return f.fd
}

// transfer reads or writes all of op.
func (f *file) transfer(op *block.Op, s *scratch) error {
	v := s.vector(op.Data)
	fd := f.target(op, v)
	for done := int64(0); done < op.Len; {
		n, err := 0, error(nil)
		if op.Kind == block.Read {
			n, err = readv(fd, v, op.Off+done, 0)
		} else {
			n, err = writev(fd, v, op.Off+done, f.flags(op))
		}
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		case n == 0: // somebody has made the file shorter
			return io.ErrUnexpectedEOF
		}
		done += int64(n)
		v = skip(v, n)
		fd = f.fd // what is left need not be aligned
	}
	return nil
}

// discard gives the range back to the file system or the device.
func (f *file) discard(op *block.Op) error {
	if f.device {
		return supported(retry(func() error { return blkdiscard(f.fd, op.Off, op.Len) }))
	}
	return supported(f.fallocate(unix.FALLOC_FL_PUNCH_HOLE, op))
}

// zero makes the range read as zeros: by a hole if that is allowed, by a range
// that the file system knows to be zero, or by zeros.
func (f *file) zero(op *block.Op, s *scratch) error {
	err := error(unix.EOPNOTSUPP)
	if op.Unmap {
		err = f.fallocate(unix.FALLOC_FL_PUNCH_HOLE, op)
	}
	if unsupported(err) {
		err = f.fallocate(unix.FALLOC_FL_ZERO_RANGE, op)
	}
	if unsupported(err) {
		err = f.writeZeros(op, s)
	}
	return err
}

func (f *file) fallocate(mode uint32, op *block.Op) error {
	return retry(func() error {
		return unix.Fallocate(f.fd, mode|unix.FALLOC_FL_KEEP_SIZE, op.Off, op.Len)
	})
}

// zeros are written where nothing else makes them; a whole number of blocks.
var zeros [64 << 10]byte

func (f *file) writeZeros(op *block.Op, s *scratch) error {
	for done := int64(0); done < op.Len; {
		piece := zeros[:min(op.Len-done, int64(len(zeros)))]
		n, err := unix.Pwrite(f.fd, piece, op.Off+done)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		done += int64(max(n, 0))
	}
	return nil
}

// unsupported reports whether err says that a file system or a device does not
// have an operation.
func unsupported(err error) bool {
	return errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY)
}

// supported is err, as an [errors.ErrUnsupported] if it says so.
func supported(err error) error {
	if unsupported(err) {
		return os.NewSyscallError("discard", errors.ErrUnsupported)
	}
	return err
}

// retry does a system call until no signal interrupts it.
func retry(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
