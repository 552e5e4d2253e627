package qcow2

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

// flagRefcounts is set in the cacheKeys of refcount blocks, so that they do not
// collide with those of L2 tables.
const flagRefcounts = 1

// refcounts are an image's reference counts, by which clusters of the file are
// allocated and freed (qcow2 "Host cluster management"): a table of blocks, of
// counts. A count is written when it changes. The image's mu guards them.
type refcounts struct {
	image *Image
	table []uint64 // of offsets of blocks, 0 for a block of zero counts
	next  int64    // no cluster below is free
	freed []run    // no longer used, by tables that may not be in the file yet
}

// headerClusters at the file's beginning are never allocated, whatever their
// count has become since it was checked: the header names files of the host, and
// must not become the guest's to write.
const headerClusters = 1

// A run is n clusters of the file from first on, counted in clusters.
type run struct{ first, n int64 }

// readRefcounts reads the table of i, and checks it with checkMetadata.
func readRefcounts(i *Image) (*refcounts, error) {
	b := make([]byte, i.refcountLength<<i.clusterBits)
	if err := i.readMetadata("refcount table", b, i.refcountTable); err != nil {
		return nil, err
	}
	r := &refcounts{image: i, table: make([]uint64, len(b)/8), next: headerClusters}
	for n := range r.table {
		r.table[n] = binary.BigEndian.Uint64(b[n*8:])
	}
	return r, r.checkMetadata()
}

// A use is what clusters of metadata are for.
type use struct {
	what string
	run
}

// checkMetadata checks that each of the image's tables is counted, so that
// nothing is ever allocated in its place, and that no two of them overlap.
func (r *refcounts) checkMetadata() error {
	i := r.image
	uses := []use{
		{"header", run{0, headerClusters}},
		{"refcount table", run{i.refcountTable >> i.clusterBits, i.refcountLength}},
		{"L1 table", run{i.l1Table >> i.clusterBits, i.clusters(i.l1Entries * 8)}},
	}
	add := func(what string, entry uint64) error {
		host, err := i.tableOffset(what, entry)
		uses = append(uses, use{what, run{host >> i.clusterBits, 1}})
		return err
	}
	for n, entry := range r.table {
		if entry != 0 {
			if err := add("refcount block", entry); err != nil {
				return fmt.Errorf("entry %d of the refcount table: %w", n, err)
			}
		}
	}
	for n, entry := range i.l1 {
		if entry != 0 {
			if err := add("L2 table", entry&^flagCopied); err != nil {
				return fmt.Errorf("entry %d of the L1 table: %w", n, err)
			}
		}
	}
	// In their order in the file, each refcount block is read once.
	slices.SortFunc(uses, func(a, b use) int { return cmp.Compare(a.first, b.first) })
	for n, u := range uses {
		if n > 0 && u.n > 0 && uses[n-1].first+uses[n-1].n > u.first {
			return fmt.Errorf("corrupt: the %s at %#x is within the %s", u.what, u.first<<i.clusterBits, uses[n-1].what)
		}
		if err := r.checkCounted(u); err != nil {
			return err
		}
	}
	return nil
}

func (r *refcounts) checkCounted(u use) error {
	for c := u.first; c < u.first+u.n; c++ {
		block, index, err := r.block(c)
		if err != nil {
			return err
		}
		if block == nil || getCount(block, index, r.image.refcountOrder) == 0 {
			return fmt.Errorf("corrupt: the refcounts say that the %s at %#x is free: \"qemu-img check -r all\" repairs them",
				u.what, u.first<<r.image.clusterBits)
		}
	}
	return nil
}

// perBlock is how many clusters a refcount block counts.
func (r *refcounts) perBlock() int64 {
	return r.image.clusterSize() * 8 >> r.image.refcountOrder
}

// block returns the refcount block for cluster c and the index of the count in
// it, or nil if there is none.
func (r *refcounts) block(c int64) (block []byte, index int64, err error) {
	i, n := r.image, c/r.perBlock()
	if n >= int64(len(r.table)) || r.table[n] == 0 {
		return nil, 0, nil
	}
	host, err := i.tableOffset("refcount block", r.table[n])
	if err != nil {
		return nil, 0, err
	}
	block, err = i.cache.get(cacheKey{i, uint64(host) | flagRefcounts}, func() ([]byte, error) {
		b := make([]byte, i.clusterSize())
		return b, i.readMetadata("refcount block", b, host)
	})
	return block, c % r.perBlock(), err
}

// getCount returns a count of a block. Counts of less than a byte begin at its
// least significant bit.
func getCount(block []byte, index int64, order uint) uint64 {
	switch order {
	case 3:
		return uint64(block[index])
	case 4:
		return uint64(binary.BigEndian.Uint16(block[index*2:]))
	case 5:
		return uint64(binary.BigEndian.Uint32(block[index*4:]))
	case 6:
		return binary.BigEndian.Uint64(block[index*8:])
	}
	bit := index << order
	return uint64(block[bit/8] >> (bit % 8) & (1<<(1<<order) - 1))
}

func setCount(block []byte, index int64, order uint, count uint64) {
	switch order {
	case 3:
		block[index] = byte(count)
	case 4:
		binary.BigEndian.PutUint16(block[index*2:], uint16(count))
	case 5:
		binary.BigEndian.PutUint32(block[index*4:], uint32(count))
	case 6:
		binary.BigEndian.PutUint64(block[index*8:], count)
	default:
		bit := index << order
		mask := byte(1<<(1<<order)-1) << (bit % 8)
		block[bit/8] = block[bit/8]&^mask | byte(count)<<(bit%8)
	}
}

// writeCounts writes the counts of clusters, which are of one block, as they
// are in it.
func (r *refcounts) writeCounts(block []byte, clusters run) error {
	i := r.image
	index := clusters.first % r.perBlock()
	from, to := index<<i.refcountOrder/8, ((index+clusters.n)<<i.refcountOrder+7)/8
	host := int64(r.table[clusters.first/r.perBlock()])
	return i.file.WriteVector([][]byte{block[from:to]}, host+from)
}

// alloc returns at most n free clusters that are next to one another, and at
// least one; they are counted once from then on.
func (r *refcounts) alloc(n int64) (run, error) {
	for c := r.next; ; {
		if c/r.perBlock() >= int64(len(r.table)) {
			if err := r.grow(); err != nil {
				return run{}, err
			}
		}
		block, index, err := r.block(c)
		if err != nil {
			return run{}, err
		}
		if block == nil {
			if err := r.addBlock(c); err != nil {
				return run{}, err
			}
			continue
		}
		if free := r.freeIn(block, index, n); free > 0 {
			found := run{c, free}
			if err := r.use(block, found); err != nil {
				return run{}, err
			}
			r.next = c + free
			return found, nil
		}
		c++
		r.next = c
	}
}

// freeIn returns how many counts from index on are zero, at most n.
func (r *refcounts) freeIn(block []byte, index, n int64) (free int64) {
	for free < min(n, r.perBlock()-index) && getCount(block, index+free, r.image.refcountOrder) == 0 {
		free++
	}
	return free
}

// use counts clusters, which are free and of that block, once.
func (r *refcounts) use(block []byte, clusters run) error {
	for c := clusters.first; c < clusters.first+clusters.n; c++ {
		setCount(block, c%r.perBlock(), r.image.refcountOrder, 1)
	}
	return r.writeCounts(block, clusters)
}

// addBlock makes cluster c the refcount block for itself and its neighbours,
// which has none. The block is in the file before the table has it.
func (r *refcounts) addBlock(c int64) error {
	i, n := r.image, c/r.perBlock()
	block := make([]byte, i.clusterSize())
	setCount(block, c%r.perBlock(), i.refcountOrder, 1)
	host := c << i.clusterBits
	if err := i.file.WriteVector([][]byte{block}, host); err != nil {
		return err
	}
	if err := i.sync(); err != nil {
		return err
	}
	entry := binary.BigEndian.AppendUint64(nil, uint64(host))
	if err := i.file.WriteVector([][]byte{entry}, i.refcountTable+n*8); err != nil {
		return err
	}
	r.table[n] = uint64(host)
	return nil
}

// grow moves the table to clusters behind all that it covers, and makes it
// longer. These, and the blocks that count them, are in the file before the
// header has the new table, and that is before a commit writes any table that
// needs them.
func (r *refcounts) grow() error {
	i, perBlock := r.image, r.perBlock()
	length := min(2*i.refcountLength+1, maxRefcountTable>>i.clusterBits)
	if length <= i.refcountLength {
		return errors.New("full: the refcount table has the largest size that is supported")
	}
	table := run{int64(len(r.table)) * perBlock, length}
	blocks := run{table.first + length, 1}
	for blocks.n*perBlock < table.n+blocks.n {
		blocks.n++
	}
	b := make([]byte, (table.n+blocks.n)<<i.clusterBits)
	counts := b[table.n<<i.clusterBits:]
	for n := range table.n + blocks.n {
		setCount(counts[n/perBlock<<i.clusterBits:], n%perBlock, i.refcountOrder, 1)
	}
	entries := make([]uint64, table.n<<i.clusterBits/8)
	copy(entries, r.table)
	for n := range blocks.n {
		entries[int64(len(r.table))+n] = uint64(blocks.first+n) << i.clusterBits
	}
	for n, entry := range entries {
		binary.BigEndian.PutUint64(b[n*8:], entry)
	}
	host := table.first << i.clusterBits
	if err := i.file.WriteVector([][]byte{b}, host); err != nil {
		return err
	}
	if err := i.sync(); err != nil {
		return err
	}
	// Offset and length lie side by side in the header.
	fields := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(host)), uint32(length))
	if err := i.file.WriteVector([][]byte{fields}, offRefcountTable); err != nil {
		return err
	}
	r.release(run{i.refcountTable >> i.clusterBits, i.refcountLength})
	r.table, i.refcountTable, i.refcountLength = entries, host, length
	return nil
}

// release frees clusters at the next commit.
func (r *refcounts) release(clusters run) {
	if n := len(r.freed); n > 0 && r.freed[n-1].first+r.freed[n-1].n == clusters.first {
		r.freed[n-1].n += clusters.n
		return
	}
	r.freed = append(r.freed, clusters)
}

// free counts the released clusters once less, now that no table in the file
// has them. Those that nothing uses any more become holes in the file.
func (r *refcounts) free() error {
	for len(r.freed) > 0 {
		rest := r.freed[0]
		r.freed = r.freed[1:] // a failure leaks it: to free it twice would be worse
		for rest.n > 0 {
			part := run{rest.first, min(rest.n, r.perBlock()-rest.first%r.perBlock())}
			if err := r.freePart(part); err != nil {
				return err
			}
			rest = run{rest.first + part.n, rest.n - part.n}
		}
	}
	r.freed = nil
	return nil
}

// freePart frees clusters that one block counts.
func (r *refcounts) freePart(clusters run) error {
	i := r.image
	block, index, err := r.block(clusters.first)
	if err != nil || block == nil { // nothing counts them
		return err
	}
	var unused []run
	for n := range clusters.n {
		c := clusters.first + n
		count := getCount(block, index+n, i.refcountOrder)
		if count > 0 {
			setCount(block, index+n, i.refcountOrder, count-1)
		}
		if count != 1 {
			continue
		}
		if last := len(unused) - 1; last >= 0 && unused[last].first+unused[last].n == c {
			unused[last].n++
		} else {
			unused = append(unused, run{c, 1})
		}
	}
	if err := r.writeCounts(block, clusters); err != nil {
		return err
	}
	for _, u := range unused {
		r.next = max(min(r.next, u.first), headerClusters)
		// A file system without holes keeps the space.
		_ = i.file.Punch(u.first<<i.clusterBits, u.n<<i.clusterBits)
	}
	return nil
}
