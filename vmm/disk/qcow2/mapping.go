package qcow2

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"
)

// Bits of L1 and L2 entries (qcow2 "Cluster mapping").
const (
	offsetMask     = 0x00ff_ffff_ffff_fe00 // bits 9 to 55: an offset in the file
	flagZero       = 1 << 0                // L2: reads as zeros
	flagCompressed = 1 << 62               // L2: the rest describes compressed data
	flagCopied     = 1 << 63               // the refcount is exactly one
)

// subclusters is how many parts a cluster has with extended L2 entries.
const subclusters = 32

// A kind says where bytes of the disk are.
type kind uint8

const (
	unallocated kind = iota // in the backing file
	zeros
	data       // in this file
	compressed // in this file, in an entry's format
)

// An extent is a range of the disk that is in one place.
type extent struct {
	kind   kind
	host   int64  // data: where the extent begins in the file
	copied bool   // data: nothing else uses the clusters, so that a write may go there
	entry  uint64 // compressed: the L2 entry; the extent is within its cluster
	n      int64  // bytes
}

// join adds next to e if both are one range of one place.
func (e *extent) join(next extent) bool {
	if e.n > 0 {
		if next.kind != e.kind || next.copied != e.copied || e.kind == compressed || e.kind == data && next.host != e.host+e.n {
			return false
		}
		next.host, next.n = e.host, next.n+e.n
	}
	*e = next
	return true
}

// extent returns the extent that begins at off and has at most n bytes, which
// must be of the disk.
func (i *Image) extent(off, n int64) (e extent, err error) {
	for e.n < n {
		at := off + e.n
		table, err := i.l2Table(at)
		if err != nil {
			return e, err
		}
		end := min(off+n, (at>>i.l2Bits()+1)<<i.l2Bits())
		for ; at < end; at = off + e.n {
			next, err := i.lookup(table, at)
			if err != nil {
				return e, err
			}
			next.n = min(next.n, end-at)
			if !e.join(next) {
				return e, nil
			}
		}
	}
	return e, nil
}

// l2Table returns the L2 table that covers off, or nil if there is none.
func (i *Image) l2Table(off int64) ([]byte, error) {
	index := off >> i.l2Bits()
	entry := i.l1[index]
	if entry == 0 {
		return nil, nil
	}
	host, err := i.tableOffset("L2 table", entry&^flagCopied)
	if err != nil {
		return nil, fmt.Errorf("entry %d of the L1 table: %w", index, err)
	}
	if table := i.changes.tables[host]; table != nil {
		return table, nil
	}
	return i.cache.get(cacheKey{i, uint64(host)}, func() ([]byte, error) {
		table := make([]byte, i.clusterSize())
		return table, i.readMetadata("L2 table", table, host)
	})
}

// readMetadata fills b with what the file has at host.
func (i *Image) readMetadata(what string, b []byte, host int64) error {
	_, err := i.file.ReadVector([][]byte{b}, host)
	if err == io.EOF {
		err = fmt.Errorf("truncated: the file ends before the %s at %#x does", what, host)
	}
	return err
}

// entry returns the entry of an L2 table for off, and its offset in the table.
func (i *Image) entry(table []byte, off int64) (uint64, int64) {
	at := off >> i.clusterBits << i.entryBits() & (i.clusterSize() - 1)
	return binary.BigEndian.Uint64(table[at:]), at
}

// lookup returns where off is, to the end of its cluster or subcluster, or of
// all that the table would cover if it is nil.
func (i *Image) lookup(table []byte, off int64) (extent, error) {
	within := off & (i.clusterSize() - 1)
	e := extent{n: i.clusterSize() - within}
	if table == nil {
		e.n = 1<<i.l2Bits() - off&(1<<i.l2Bits()-1)
		return e, nil
	}
	entry, at := i.entry(table, off)
	if entry&flagCompressed != 0 {
		if host, _ := i.compressedRange(entry); host < i.clusterSize() { // a write would free the header
			return e, fmt.Errorf("corrupt: L2 entry %#016x for the cluster at %#x of the disk", entry, off-within)
		}
		e.kind, e.entry = compressed, entry
		return e, nil
	}
	if bad := entry &^ (offsetMask | flagCopied | flagZero); bad != 0 ||
		entry&offsetMask&uint64(i.clusterSize()-1) != 0 || entry&flagZero != 0 && (i.version == 2 || i.entryBits() == 4) {
		return e, fmt.Errorf("corrupt: L2 entry %#016x for the cluster at %#x of the disk", entry, off-within)
	}
	e.host = int64(entry&offsetMask) + within
	if i.incompatible&featureExtendedL2 != 0 {
		return e, i.lookupSub(&e, binary.BigEndian.Uint64(table[at+8:]), off)
	}
	switch {
	case entry&flagZero != 0:
		e.kind = zeros
	case entry&offsetMask != 0:
		e.kind, e.copied = data, entry&flagCopied != 0
	}
	return e, nil
}

// lookupSub narrows e to the subclusters that are in the same place, by the
// cluster's bitmap (qcow2 "Extended L2 Entries"): bit x says that subcluster x
// is allocated, bit 32+x that it reads as zeros.
func (i *Image) lookupSub(e *extent, bitmap uint64, off int64) error {
	size := i.clusterSize() / subclusters
	within := off & (i.clusterSize() - 1)
	x := int(within / size)
	allocated, zero := uint32(bitmap), uint32(bitmap>>subclusters)
	if allocated&zero != 0 || allocated != 0 && e.host == within {
		return fmt.Errorf("corrupt: subcluster bitmap %#016x for the cluster at %#x of the disk", bitmap, off-within)
	}
	var run uint32 // subclusters that are in the same place as x
	switch {
	case allocated>>x&1 != 0:
		e.kind, run = data, allocated
	case zero>>x&1 != 0:
		e.kind, run = zeros, zero
	default:
		run = ^(allocated | zero)
	}
	same := bits.TrailingZeros32(^(run >> x))
	e.n = int64(x+same)*size - within
	return nil
}
