package qcow2

import (
	"encoding/binary"
	"fmt"
	"io"
	"sync"
)

// An Image is a qcow2 image with its backing files. Its methods may be called
// concurrently.
type Image struct {
	header
	file    storage
	backing layer // nil if there is none
	cache   *cache

	// mu is held for writing by who changes a table or a refcount, and for
	// reading by all others that read or write, until they are done with the
	// clusters that they found.
	mu        sync.RWMutex
	l1        []uint64   // guarded by mu, as what follows; as many entries as the disk's size needs
	refcounts *refcounts // nil if the image was opened for reading
	changes   changes
}

// A layer is what an image's unallocated clusters are read from.
type layer interface {
	Size() int64
	ReadVector(bufs [][]byte, off int64) error
	Close() error
}

// A storage is the file that an image is in.
type storage interface {
	io.ReaderAt
	Name() string
	Size() (int64, error)
	ReadVector(bufs [][]byte, off int64) (int64, error)
	WriteVector(bufs [][]byte, off int64) error
	Sync() error
	Punch(off, n int64) error
	Close() error
}

// newImage reads what of the image in f is kept in memory. It uses at most
// l1Limit bytes for the L1 table.
func newImage(f storage, l1Limit int64) (*Image, error) {
	h, err := readHeader(f)
	if err != nil {
		return nil, err
	}
	size := h.l1Entries * 8
	if size > l1Limit {
		return nil, fmt.Errorf("its L1 table of %d bytes is too much: a chain of images may have %d in all", size, maxL1Chain)
	}
	end, err := f.Size()
	if err != nil {
		return nil, err
	}
	if h.l1Table > end-size {
		return nil, fmt.Errorf("truncated: the file has %d bytes, and its L1 table %d at %#x", end, size, h.l1Table)
	}
	table := make([]byte, size)
	if _, err := f.ReadVector([][]byte{table}, h.l1Table); err != nil {
		return nil, err
	}
	i := &Image{header: *h, file: f, l1: make([]uint64, h.l1Entries)}
	for n := range i.l1 {
		i.l1[n] = binary.BigEndian.Uint64(table[n*8:])
	}
	return i, nil
}

// Size is the disk's size in bytes, which need not be a multiple of anything.
func (i *Image) Size() int64 { return i.size }

// Close flushes the image and closes the files of the chain.
func (i *Image) Close() error {
	err := i.Flush()
	if e := i.file.Close(); err == nil {
		err = e
	}
	if i.backing != nil {
		if e := i.backing.Close(); err == nil {
			err = e
		}
	}
	return err
}

// named says which image an error is of.
func (i *Image) named(err error) error { return fmt.Errorf("%s: %w", i.file.Name(), err) }

// startWriting reads what of the image only a writer needs.
func (i *Image) startWriting() (err error) {
	if err := i.checkWritable(); err != nil {
		return err
	}
	i.changes.tables, i.changes.l1 = map[int64][]byte{}, map[int64]struct{}{}
	i.refcounts, err = readRefcounts(i)
	return err
}
