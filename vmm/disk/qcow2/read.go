package qcow2

import (
	"fmt"
	"io"

	"microvm/vmm/disk/internal/vector"
)

// ReadAt is that of io.ReaderAt.
func (i *Image) ReadAt(p []byte, off int64) (int, error) {
	if off >= i.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), i.size-off)
	if err := i.ReadVector([][]byte{p[:n]}, off); err != nil {
		return 0, err
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// ReadVector fills bufs with what the disk has from off on. It must have as
// much. What is in one piece in the file is read by one system call.
func (i *Image) ReadVector(bufs [][]byte, off int64) error {
	if err := i.checkRange(off, vector.Len(bufs)); err != nil {
		return err
	}
	i.mu.RLock()
	defer i.mu.RUnlock()
	return i.read(bufs, off)
}

// read does so with i.mu held.
func (i *Image) read(bufs [][]byte, off int64) error {
	n := vector.Len(bufs)
	for done := int64(0); done < n; {
		e, err := i.extent(off+done, n-done)
		if err != nil {
			return i.named(err)
		}
		if err := i.readExtent(vector.Slice(bufs, done, e.n), e, off+done); err != nil {
			return err
		}
		done += e.n
	}
	return nil
}

func (i *Image) checkRange(off, n int64) error {
	if off < 0 || n < 0 || off > i.size || n > i.size-off {
		return fmt.Errorf("%s: %d bytes at %d are not of the disk of %d bytes", i.file.Name(), n, off, i.size)
	}
	return nil
}

// readExtent fills bufs from e, which begins at off of the disk.
func (i *Image) readExtent(bufs [][]byte, e extent, off int64) error {
	switch e.kind {
	case data:
		return i.readData(bufs, e.host, e.n)
	case compressed:
		cluster, err := i.decompressed(e.entry)
		if err != nil {
			return i.named(err)
		}
		within := off & (i.clusterSize() - 1)
		vector.Copy(bufs, cluster[within:within+e.n])
	case unallocated:
		return i.readBacking(bufs, off, e.n)
	case zeros:
		vector.Clear(bufs)
	}
	return nil
}

// readData reads n bytes of clusters that are next to one another in the file.
// The last cluster of a file need not be whole: what is missing is zero.
func (i *Image) readData(bufs [][]byte, host, n int64) error {
	got, err := i.file.ReadVector(bufs, host)
	if err != io.EOF {
		return err
	}
	end, err := i.file.Size()
	if err != nil {
		return err
	}
	if last := (host + n - 1) &^ (i.clusterSize() - 1); last >= end {
		return fmt.Errorf("%s: truncated: the file has %d bytes, and data at %#x", i.file.Name(), end, last)
	}
	vector.Clear(vector.Slice(bufs, got, n-got))
	return nil
}

// readBacking reads n bytes of the disk from the backing file, and zeros where
// that ends.
func (i *Image) readBacking(bufs [][]byte, off, n int64) error {
	if i.backing == nil {
		vector.Clear(bufs)
		return nil
	}
	in := min(n, max(i.backing.Size()-off, 0))
	if in > 0 {
		if err := i.backing.ReadVector(vector.Slice(bufs, 0, in), off); err != nil {
			return err
		}
	}
	vector.Clear(vector.Slice(bufs, in, n-in))
	return nil
}
