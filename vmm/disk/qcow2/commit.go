package qcow2

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
)

const (
	// maxDirty bounds the L2 tables that wait for a commit, in bytes.
	maxDirty = 4 << 20
	// maxFreed bounds the runs of clusters that do.
	maxFreed = 1 << 16
)

// changes are what a commit brings into the file. The image's mu guards them.
type changes struct {
	tables map[int64][]byte      // L2 tables by their offset in the file
	l1     map[int64]struct{}    // indexes of L1 entries
	failed atomic.Pointer[error] // of a sync: what is in the file is unknown
}

// err returns why nothing is written any more.
func (c *changes) err() error {
	if failed := c.failed.Load(); failed != nil {
		return fmt.Errorf("not written any more: %w", *failed)
	}
	return nil
}

// Flush waits until everything that was written before is in the file and on
// its medium: neither a crash nor a loss of power undoes it then.
func (i *Image) Flush() error {
	if i.refcounts == nil {
		return nil
	}
	if clean, err := i.flushData(); clean {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.commit()
}

// flushData does so if no table has changed, with readers and writers of
// clusters that are there beside it.
func (i *Image) flushData() (clean bool, err error) {
	i.mu.RLock()
	defer i.mu.RUnlock()
	if len(i.changes.tables) > 0 || len(i.refcounts.freed) > 0 {
		return false, nil
	}
	return true, i.sync()
}

// changedTable returns the L2 table that covers off, for a change: it is
// allocated if there is none or a snapshot has it too.
func (i *Image) changedTable(off int64) ([]byte, error) {
	index := off >> i.l2Bits()
	entry := i.l1[index]
	table, err := i.l2Table(off)
	if err != nil {
		return nil, err
	}
	if entry&flagCopied != 0 {
		i.changes.tables[int64(entry&^flagCopied)] = table
		return table, nil
	}
	clusters, err := i.refcounts.alloc(1)
	if err != nil {
		return nil, err
	}
	if entry == 0 {
		table = make([]byte, i.clusterSize())
	} else {
		table = slices.Clone(table)
		i.refcounts.release(run{int64(entry) >> i.clusterBits, 1})
	}
	host := clusters.first << i.clusterBits
	i.cache.drop(cacheKey{i, uint64(host)}) // a table that was there before
	i.changes.tables[host] = table
	i.changes.l1[index] = struct{}{}
	i.l1[index] = uint64(host) | flagCopied
	return table, nil
}

// commitIfLarge commits if what waits for it is at its limit.
func (i *Image) commitIfLarge() error {
	if int64(len(i.changes.tables))<<i.clusterBits < maxDirty && len(i.refcounts.freed) < maxFreed {
		return nil
	}
	return i.commit()
}

// commit brings all changes into the file. At each moment between, what is in
// the file is an image without contradictions: the worst that a crash, or a loss
// of power, leaves is a cluster that is counted and not used.
//
//	data, refcounts of what was allocated     (written before)
//	sync
//	L2 tables                                 have only what is there
//	sync
//	L1 entries
//	sync
//	refcounts of what was freed               nothing has it any more
func (i *Image) commit() error {
	if err := i.sync(); err != nil {
		return err
	}
	for host, table := range i.changes.tables {
		if err := i.file.WriteVector([][]byte{table}, host); err != nil {
			return err
		}
	}
	if err := i.sync(); err != nil {
		return err
	}
	if len(i.changes.l1) > 0 {
		if err := i.commitL1(); err != nil {
			return err
		}
	}
	for host, table := range i.changes.tables {
		i.cache.put(cacheKey{i, uint64(host)}, table)
	}
	clear(i.changes.tables)
	return i.refcounts.free()
}

func (i *Image) commitL1() error {
	for _, index := range slices.Sorted(maps.Keys(i.changes.l1)) {
		entry := binary.BigEndian.AppendUint64(nil, i.l1[index])
		if err := i.file.WriteVector([][]byte{entry}, i.l1Table+index*8); err != nil {
			return err
		}
	}
	clear(i.changes.l1)
	return i.sync()
}

// sync waits until what was written is on the medium. If that fails once, the
// kernel may have dropped it: the image is not written any more.
func (i *Image) sync() error {
	if err := i.changes.err(); err != nil {
		return err
	}
	err := i.file.Sync()
	if err != nil {
		i.changes.failed.Store(&err)
	}
	return err
}
