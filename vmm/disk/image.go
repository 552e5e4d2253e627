package disk

import (
	"errors"
	"io"
	"os"

	"microvm/devices/virtio/block"
	"microvm/vmm/disk/overlay"
	"microvm/vmm/disk/qcow2"
)

// An Image is a disk behind methods that return when they are done. They may be
// called from many goroutines at once. Ranges are whole sectors within Size.
type Image interface {
	Size() int64 // in bytes
	ReadVector(p [][]byte, off int64) error
	WriteVector(p [][]byte, off int64) error
	WriteZeroes(off, n int64) error
	Discard(off, n int64) error
	Flush() error
	io.Closer
}

// An imageStorage is an Image as a storage, all of whose operations may take
// long: each may look at tables first, which may have to be read.
type imageStorage struct {
	Image
	base   io.Closer // what the image is over, nil if nothing
	unsafe bool      // nothing is made durable
}

// openImage opens a disk that is not just a raw image.
func openImage(o Options) (_ *imageStorage, err error) {
	s := &imageStorage{unsafe: o.Cache == CacheUnsafe}
	if !o.Overlay {
		s.Image, err = openQCOW2(o.Path, !o.ReadOnly)
		return s, err
	}
	base, err := openBase(o)
	if err != nil {
		return nil, err
	}
	if s.Image, err = overlay.New(base, ""); err != nil {
		return nil, errors.Join(err, base.Close())
	}
	s.base = base
	return s, nil
}

func openQCOW2(path string, writable bool) (*qcow2.Image, error) {
	return qcow2.Open(path, qcow2.Options{Writable: writable, OpenFile: openLocked})
}

// openBase opens what an overlay is over, which is only read.
func openBase(o Options) (base interface {
	overlay.Base
	io.Closer
}, err error) {
	if o.Format == FormatQCOW2 {
		return openQCOW2(o.Path, false)
	}
	o.ReadOnly = true
	return openFile(o)
}

// openLocked opens and locks a file for qcow2.
func openLocked(path string, writable bool) (*os.File, error) {
	access := os.O_RDONLY
	if writable {
		access = os.O_RDWR
	}
	f, err := openPath(path, access)
	if err != nil {
		return nil, err
	}
	if err := lock(int(f.Fd()), !writable); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// info is what a driver is told.
func (s *imageStorage) info(o Options) (block.Info, error) {
	i := block.Info{
		Size: s.Size(), ReadOnly: o.ReadOnly, Writeback: o.Cache != CacheWritethrough,
		BlockSize: block.SectorSize, PhysicalBlock: pageSize,
	}
	// A raw image below has been checked: this one is qcow2.
	return i, checkSize(i, "qemu-img create -f qcow2 FILE 1G", "qemu-img resize -f qcow2 FILE +512")
}

// quick implements storage.
func (s *imageStorage) quick(op *block.Op, _ *scratch) bool {
	return op.Kind == block.Flush && s.unsafe
}

// do implements storage.
func (s *imageStorage) do(op *block.Op, _ *scratch) (err error) {
	switch op.Kind {
	case block.Read:
		return s.ReadVector(op.Data, op.Off)
	case block.Write:
		err = s.WriteVector(op.Data, op.Off)
	case block.WriteZeroes:
		err = s.WriteZeroes(op.Off, op.Len)
	case block.Discard:
		return s.Discard(op.Off, op.Len)
	case block.Flush:
		return s.Flush()
	}
	if err != nil || !op.Durable || s.unsafe {
		return err
	}
	return s.Flush()
}

// Close closes the image, and then what it is over.
func (s *imageStorage) Close() error {
	err := s.Image.Close()
	if s.base != nil {
		err = errors.Join(err, s.base.Close())
	}
	return err
}
