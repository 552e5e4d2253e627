package qcow2

import (
	"encoding/binary"
	"fmt"

	"microvm/vmm/disk/internal/vector"
)

// checkWritable says why an image that may be read may not be written.
func (h *header) checkWritable() error {
	const instead = "; open it read-only, or with an overlay"
	switch {
	case h.incompatible&featureCorrupt != 0:
		return fmt.Errorf("marked as corrupt: \"qemu-img check -r all\" may repair it%s", instead)
	case h.incompatible&featureDirty != 0:
		return fmt.Errorf("marked as dirty, its refcounts may be wrong: \"qemu-img check -r all\" repairs them%s", instead)
	case h.incompatible&featureExtendedL2 != 0:
		return fmt.Errorf("with extended L2 entries, it can only be read%s", instead)
	case h.autoclear != 0:
		return fmt.Errorf("it has a bitmap or other extension (autoclear features %#x) that a write would make wrong%s", h.autoclear, instead)
	}
	return nil
}

// writable checks that n bytes at off may be written.
func (i *Image) writable(off, n int64) error {
	if i.refcounts == nil {
		return fmt.Errorf("%s: not opened for writing", i.file.Name())
	}
	return i.checkRange(off, n)
}

// WriteAt is that of io.WriterAt. The disk does not grow.
func (i *Image) WriteAt(p []byte, off int64) (int, error) {
	if err := i.WriteVector([][]byte{p}, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteVector writes bufs at off. The disk does not grow. What is written may
// be lost by a crash, even of this process alone, until Flush returns.
func (i *Image) WriteVector(bufs [][]byte, off int64) error {
	n := vector.Len(bufs)
	if err := i.writable(off, n); err != nil {
		return err
	}
	done, err := i.overwrite(bufs, off, n)
	if err != nil || done == n {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.write(vector.Slice(bufs, done, n-done), off+done)
}

// overwrite writes to clusters that are there, up to the first that is not. It
// returns how many bytes it has written. Such writes run side by side.
func (i *Image) overwrite(bufs [][]byte, off, n int64) (done int64, err error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if err := i.changes.err(); err != nil {
		return 0, err
	}
	for done < n {
		e, err := i.extent(off+done, n-done)
		if err != nil {
			return done, i.named(err)
		}
		if !e.copied {
			break
		}
		if err := i.file.WriteVector(vector.Slice(bufs, done, e.n), e.host); err != nil {
			return done, err
		}
		done += e.n
	}
	return done, nil
}

// write writes bufs at off, with i.mu held.
func (i *Image) write(bufs [][]byte, off int64) error {
	if err := i.changes.err(); err != nil {
		return err
	}
	n := vector.Len(bufs)
	for done := int64(0); done < n; {
		e, err := i.extent(off+done, n-done)
		if err != nil {
			return i.named(err)
		}
		if e.copied {
			err = i.file.WriteVector(vector.Slice(bufs, done, e.n), e.host)
		} else {
			e.n, err = i.writeNew(vector.Slice(bufs, done, e.n), off+done, e.n)
		}
		if err != nil {
			return err
		}
		done += e.n
	}
	return i.commitIfLarge()
}

// writeNew writes n bytes at off, or the first of them, to new clusters that
// take the place of what is there. It returns how many it has written.
func (i *Image) writeNew(bufs [][]byte, off, n int64) (int64, error) {
	n = min(n, (off>>i.l2Bits()+1)<<i.l2Bits()-off)
	table, err := i.changedTable(off)
	if err != nil {
		return 0, i.named(err)
	}
	first := off &^ (i.clusterSize() - 1)
	clusters, err := i.refcounts.alloc(i.clusters(off + n - first))
	if err != nil {
		return 0, i.named(err)
	}
	end := min(first+clusters.n<<i.clusterBits, i.size)
	n = min(n, end-off)
	whole, err := i.surround(vector.Slice(bufs, 0, n), span{first, off}, span{off + n, end})
	if err == nil {
		err = i.file.WriteVector(whole, clusters.first<<i.clusterBits)
	}
	if err != nil {
		i.refcounts.release(clusters)
		return 0, err
	}
	for c := range clusters.n {
		i.setEntry(table, first+c<<i.clusterBits, uint64(clusters.first+c)<<i.clusterBits|flagCopied)
	}
	return n, nil
}

// A span is a range of bytes of the disk, [off, end).
type span struct{ off, end int64 }

// surround returns bufs with what the disk has before and behind them.
func (i *Image) surround(bufs [][]byte, before, behind span) ([][]byte, error) {
	head, tail := make([]byte, before.end-before.off), make([]byte, behind.end-behind.off)
	if err := i.read([][]byte{head}, before.off); err != nil {
		return nil, err
	}
	if err := i.read([][]byte{tail}, behind.off); err != nil {
		return nil, err
	}
	whole := append([][]byte{head}, bufs...)
	return append(whole, tail), nil
}

// setEntry changes the entry for off in a table that changedTable returned, and
// releases what it had.
func (i *Image) setEntry(table []byte, off int64, entry uint64) {
	old, at := i.entry(table, off)
	binary.BigEndian.PutUint64(table[at:], entry)
	if old&flagCompressed != 0 {
		host, n := i.compressedRange(old)
		first := host >> i.clusterBits
		i.refcounts.release(run{first, (host+n-1)>>i.clusterBits - first + 1})
	} else if host := old & offsetMask; host != 0 {
		i.refcounts.release(run{int64(host) >> i.clusterBits, 1})
	}
}

// WriteZeroes makes n bytes at off read as zeros, and frees the clusters that
// lie in them. Flush is to it what it is to a write.
func (i *Image) WriteZeroes(off, n int64) error { return i.zero(off, n, true) }

// Discard frees the clusters that lie in n bytes at off; they read as zeros
// then. What else is in the range, or in the backing file, stays.
func (i *Image) Discard(off, n int64) error { return i.zero(off, n, false) }

// zero frees clusters. If all is true, it zeroes what it cannot free.
func (i *Image) zero(off, n int64, all bool) error {
	if err := i.writable(off, n); err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	for end := off + n; off < end; {
		e, err := i.extent(off, end-off)
		if err != nil {
			return i.named(err)
		}
		stop := off + e.n
		if e.kind == zeros || e.kind == unallocated && (i.backing == nil || !all) {
			off = stop
		}
		for off < stop {
			n := min(stop-off, i.clusterSize()-off&(i.clusterSize()-1))
			if err := i.zeroCluster(off, n, all); err != nil {
				return err
			}
			off += n
		}
	}
	return nil
}

// zeroCluster does so to n bytes at off, which are of one cluster.
func (i *Image) zeroCluster(off, n int64, all bool) error {
	if err := i.changes.err(); err != nil {
		return err
	}
	whole := n == i.clusterSize() || off&(i.clusterSize()-1) == 0 && off+n == i.size
	// Version 2 has no zero clusters, only unallocated ones.
	if whole && (i.backing == nil || i.version == 3) {
		table, err := i.changedTable(off)
		if err != nil {
			return i.named(err)
		}
		entry := uint64(0)
		if i.backing != nil {
			entry = flagZero
		}
		i.setEntry(table, off, entry)
		return i.commitIfLarge()
	}
	if !all {
		return nil
	}
	return i.write([][]byte{make([]byte, n)}, off)
}
