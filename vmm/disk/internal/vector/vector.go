// Package vector moves bytes between a file and buffers that lie apart, as a
// guest's requests do: with one system call, and no copy, wherever the range of
// the file is one piece.
package vector

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxBuffers is what one call takes (linux uio.h UIO_MAXIOV).
const maxBuffers = 1024

// Len is the number of bytes in bufs.
func Len(bufs [][]byte) (n int64) {
	for _, b := range bufs {
		n += int64(len(b))
	}
	return n
}

// Slice returns n bytes of bufs from off on, which must be there.
func Slice(bufs [][]byte, off, n int64) [][]byte {
	if off == 0 && n == Len(bufs) {
		return bufs
	}
	for off > 0 && off >= int64(len(bufs[0])) {
		off -= int64(len(bufs[0]))
		bufs = bufs[1:]
	}
	var out [][]byte
	for ; n > 0; bufs = bufs[1:] {
		b := bufs[0][off:]
		b = b[:min(n, int64(len(b)))]
		out = append(out, b)
		n -= int64(len(b))
		off = 0
	}
	return out
}

// Clear zeroes bufs.
func Clear(bufs [][]byte) {
	for _, b := range bufs {
		clear(b)
	}
}

// Copy copies src to bufs, which must have room for it.
func Copy(bufs [][]byte, src []byte) {
	for _, b := range bufs {
		src = src[copy(b, src):]
	}
}

// A File is a file or block device that is read and written so.
type File struct{ *os.File }

// ReadVector fills bufs from off on. It returns the number of bytes read, with
// io.EOF if the file ends before.
func (f File) ReadVector(bufs [][]byte, off int64) (int64, error) {
	return f.transfer("read", bufs, off, unix.Pread, unix.Preadv)
}

// WriteVector writes all of bufs at off.
func (f File) WriteVector(bufs [][]byte, off int64) error {
	_, err := f.transfer("write", bufs, off, unix.Pwrite, unix.Pwritev)
	return err
}

func (f File) transfer(op string, bufs [][]byte, off int64,
	one func(int, []byte, int64) (int, error), many func(int, [][]byte, int64) (int, error)) (int64, error) {
	want := Len(bufs)
	for done := int64(0); ; {
		if done == want {
			return done, nil
		}
		rest := Slice(bufs, done, want-done)
		var n int
		err := f.again(op, func(fd int) (err error) {
			if len(rest) == 1 {
				n, err = one(fd, rest[0], off+done)
			} else {
				n, err = many(fd, rest[:min(len(rest), maxBuffers)], off+done)
			}
			return err
		})
		if err == nil && n == 0 {
			err = io.EOF
		}
		if err != nil {
			return done, err
		}
		done += int64(n)
	}
}

// Sync waits until the data, and what is needed to find it, is on the medium.
func (f File) Sync() error { return f.again("sync", unix.Fdatasync) }

// Punch makes n bytes at off a hole, which reads as zeros. The file keeps its
// size.
func (f File) Punch(off, n int64) error {
	return f.again("punch hole in", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
}

// Size is the file's size in bytes. Unlike what stat says, it is right for a
// block device, too.
func (f File) Size() (int64, error) { return f.Seek(0, io.SeekEnd) }

// again makes a system call until no signal interrupts it.
func (f File) again(op string, call func(fd int) error) error {
	for {
		switch err := call(int(f.Fd())); err {
		case nil:
			return nil
		case unix.EINTR:
		default:
			return &os.PathError{Op: op, Path: f.Name(), Err: err}
		}
	}
}
