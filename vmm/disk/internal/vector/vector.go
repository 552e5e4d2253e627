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

// Read fills bufs from off on. It returns the number of bytes read, with io.EOF
// if the file ends before.
func Read(f *os.File, bufs [][]byte, off int64) (int64, error) {
	return transfer(f, "read", bufs, off, unix.Pread, unix.Preadv)
}

// Write writes all of bufs at off.
func Write(f *os.File, bufs [][]byte, off int64) error {
	_, err := transfer(f, "write", bufs, off, unix.Pwrite, unix.Pwritev)
	return err
}

func transfer(f *os.File, op string, bufs [][]byte, off int64,
	one func(int, []byte, int64) (int, error), many func(int, [][]byte, int64) (int, error)) (int64, error) {
	want := Len(bufs)
	for done := int64(0); ; {
		if done == want {
			return done, nil
		}
		rest := Slice(bufs, done, want-done)
		var n int
		var err error
		if len(rest) == 1 {
			n, err = one(int(f.Fd()), rest[0], off+done)
		} else {
			n, err = many(int(f.Fd()), rest[:min(len(rest), maxBuffers)], off+done)
		}
		switch {
		case err == unix.EINTR:
		case err != nil:
			return done, &os.PathError{Op: op, Path: f.Name(), Err: err}
		case n == 0:
			return done, io.EOF
		default:
			done += int64(n)
		}
	}
}
