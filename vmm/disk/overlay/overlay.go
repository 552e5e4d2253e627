// Package overlay lets a disk be written without touching it: what is written
// goes to a temporary file that no directory has, and is gone when it is closed
// or its process ends, however that ends.
//
//	blocks of the disk   0    1    2    3    4    5
//	written (a bitmap)   0    1    1    0    1    0
//	                     |    |    |    |    |    |
//	read from          base  file file base file base
//
// The file is sparse, and has each block at the offset that the disk has it at.
// A block that a write covers in part is copied from the base first. Zeroed
// blocks are holes in the file.
package overlay

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"microvm/vmm/disk/internal/vector"
)

const (
	// blockBits is log2 of a block's size: that of a page, so that a guest's
	// file systems write whole blocks and hardly anything is copied.
	blockBits = 12
	blockSize = 1 << blockBits

	// maxSize bounds the base's size in bytes, and so the bitmap, to 512 MiB of
	// which only what is used takes memory. It is the largest file of ext4.
	maxSize = 16 << 40
)

// A Base is a disk that is only read.
type Base interface {
	Size() int64 // in bytes
	// ReadVector fills bufs from off on, or fails.
	ReadVector(bufs [][]byte, off int64) error
}

// An Overlay is a disk that reads as its base does until it is written. Its
// methods may be called concurrently.
type Overlay struct {
	base Base
	file vector.File

	// written has a bit for each block that is in the file. Bits are only ever
	// set, by who holds mu and after the block is whole in the file, so that
	// readers, and writers of blocks that are there, need no lock.
	written []atomic.Uint64
	mu      sync.Mutex
}

// New returns an overlay over base whose file is in dir, or in os.TempDir if dir
// is "". The base is not closed with it.
func New(base Base, dir string) (*Overlay, error) {
	size := base.Size()
	if size > maxSize {
		return nil, fmt.Errorf("a disk of %d bytes; an overlay may have %d", size, int64(maxSize))
	}
	if dir == "" {
		dir = os.TempDir()
	}
	f, err := unnamed(dir)
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, fmt.Errorf("overlay: %w", err)
	}
	blocks := (size + blockSize - 1) >> blockBits
	return &Overlay{base: base, file: vector.File{File: f}, written: make([]atomic.Uint64, (blocks+63)/64)}, nil
}

// unnamed makes a file in dir that has no name, or loses it at once where the
// file system does not have such files.
func unnamed(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE, 0o600)
	if !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EISDIR) {
		return f, err
	}
	if f, err = os.CreateTemp(dir, "vmm-overlay-"); err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Size is the base's size in bytes.
func (o *Overlay) Size() int64 { return o.base.Size() }

// Flush does nothing: there is nothing that could be found after a crash.
func (o *Overlay) Flush() error { return nil }

// Close frees what was written. It does not close the base.
func (o *Overlay) Close() error { return o.file.Close() }

// A span is a range of bytes of the disk, [off, end).
type span struct{ off, end int64 }

func (s span) len() int64 { return s.end - s.off }

// check returns n bytes at off as a span.
func (o *Overlay) check(off, n int64) (span, error) {
	if size := o.Size(); off < 0 || n < 0 || off > size || n > size-off {
		return span{}, fmt.Errorf("%d bytes at %d are not of the disk of %d bytes", n, off, size)
	}
	return span{off, off + n}, nil
}

func (o *Overlay) has(block int64) bool {
	return o.written[block/64].Load()>>(block%64)&1 != 0
}

// next returns the longest beginning of s whose blocks are all in the file, or
// all not in it.
func (o *Overlay) next(s span) (run span, written bool) {
	block := s.off >> blockBits
	written = o.has(block)
	for block++; block<<blockBits < s.end && o.has(block) == written; block++ {
	}
	return span{s.off, min(s.end, block<<blockBits)}, written
}

// allWritten says whether all blocks of s are in the file.
func (o *Overlay) allWritten(s span) bool {
	run, written := o.next(s)
	return written && run == s
}

// whole returns the blocks that lie in s; the last one of the disk may be short.
func (o *Overlay) whole(s span) span {
	w := span{(s.off + blockSize - 1) &^ (blockSize - 1), s.end &^ (blockSize - 1)}
	if s.end == o.Size() {
		w.end = s.end
	}
	w.end = max(w.end, w.off)
	return w
}

// setWritten says that the blocks of s, which are whole, are in the file. It is
// called with mu held.
func (o *Overlay) setWritten(s span) {
	for block := s.off >> blockBits; block<<blockBits < s.end; block++ {
		o.written[block/64].Or(1 << (block % 64))
	}
}

// ReadAt is that of io.ReaderAt.
func (o *Overlay) ReadAt(p []byte, off int64) (int, error) {
	if off >= o.Size() {
		return 0, io.EOF
	}
	n := min(int64(len(p)), o.Size()-off)
	if err := o.ReadVector([][]byte{p[:n]}, off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// ReadVector fills bufs with what the disk has from off on. It must have as
// much.
func (o *Overlay) ReadVector(bufs [][]byte, off int64) error {
	all, err := o.check(off, vector.Len(bufs))
	for s := all; err == nil && s.len() > 0; {
		run, written := o.next(s)
		part := vector.Slice(bufs, run.off-all.off, run.len())
		if written {
			_, err = o.file.ReadVector(part, run.off)
		} else {
			err = o.base.ReadVector(part, run.off)
		}
		s.off = run.end
	}
	return err
}

// WriteAt is that of io.WriterAt.
func (o *Overlay) WriteAt(p []byte, off int64) (int, error) {
	if err := o.WriteVector([][]byte{p}, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteVector writes bufs at off. The disk does not grow.
func (o *Overlay) WriteVector(bufs [][]byte, off int64) error {
	s, err := o.check(off, vector.Len(bufs))
	if err != nil || s.len() == 0 {
		return err
	}
	if o.allWritten(s) {
		return o.file.WriteVector(bufs, off)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.copyEdges(s); err != nil {
		return err
	}
	if err := o.file.WriteVector(bufs, off); err != nil {
		return err
	}
	o.setWritten(s)
	return nil
}

// copyEdges copies the blocks that s covers in part from the base, unless they
// are in the file. It is called with mu held.
func (o *Overlay) copyEdges(s span) error {
	whole := o.whole(s)
	if s.off < whole.off {
		if err := o.copyBlock(s.off >> blockBits); err != nil {
			return err
		}
	}
	if s.end > whole.end {
		return o.copyBlock((s.end - 1) >> blockBits)
	}
	return nil
}

func (o *Overlay) copyBlock(block int64) error {
	if o.has(block) {
		return nil
	}
	at := block << blockBits
	bufs := [][]byte{make([]byte, min(blockSize, o.Size()-at))}
	if err := o.base.ReadVector(bufs, at); err != nil {
		return err
	}
	if err := o.file.WriteVector(bufs, at); err != nil {
		return err
	}
	o.setWritten(span{at, at + blockSize})
	return nil
}

// WriteZeroes makes n bytes at off read as zeros, and frees their blocks.
func (o *Overlay) WriteZeroes(off, n int64) error {
	s, err := o.check(off, n)
	if err != nil {
		return err
	}
	whole := o.whole(s)
	if whole.len() == 0 { // within a block, or two
		return o.WriteVector([][]byte{make([]byte, s.len())}, s.off)
	}
	for _, edge := range []span{{s.off, whole.off}, {whole.end, s.end}} {
		if err := o.WriteVector([][]byte{make([]byte, edge.len())}, edge.off); err != nil {
			return err
		}
	}
	return o.punch(whole)
}

// Discard frees the blocks that lie in n bytes at off; they read as zeros then.
// What else is in the range stays.
func (o *Overlay) Discard(off, n int64) error {
	s, err := o.check(off, n)
	if whole := o.whole(s); err == nil && whole.len() > 0 {
		err = o.punch(whole)
	}
	return err
}

// punch makes whole blocks a hole in the file.
func (o *Overlay) punch(s span) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	err := o.file.Punch(s.off, s.len())
	if err == nil {
		o.setWritten(s)
	}
	return err
}
