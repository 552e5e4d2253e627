package virtq

import "microvm/kvm/guestmem"

// Sizes of a split virtqueue's parts in bytes (virtio-v1.2 §2.7).
const (
	availHeader  = 4 // flags, idx
	availElement = 2 // the head of a chain
	usedHeader   = 4 // flags, idx
	usedElement  = 8 // id, len
	eventSize    = 2 // used_event, avail_event: behind the ring
)

// Flags of the rings (virtio-v1.2 §2.7.6, §2.7.8).
const (
	availNoInterrupt = 1 << 0 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 << 0 // VIRTQ_USED_F_NO_NOTIFY
)

// A splitQueue is a split virtqueue (virtio-v1.2 §2.7).
type splitQueue struct {
	gatherer
	eventIdx bool
	mask     uint16 // Size - 1

	table                []byte // descriptors
	availFlags, availIdx guestmem.Uint16
	availRing            []byte
	usedEvent            guestmem.Uint16 // the driver's: of which used element it wants an interrupt
	usedFlags, usedIdx   guestmem.Uint16
	usedRing             []byte
	availEvent           guestmem.Uint16 // the device's: of which chain it wants a notification

	// Of the one who pops:
	next  uint16 // the index of the chain that comes next
	avail uint16 // the driver's index as last read
	err   error  // what has broken the queue

	_ [64]byte // the two sides are on different cache lines

	// Of the one who pushes:
	used  uint16 // the index of the element that is written next
	shown uint16 // the index that the driver has been shown
}

func newSplit(mem *guestmem.Memory, c Config) (*splitQueue, error) {
	if c.Size&(c.Size-1) != 0 {
		return nil, broken("virtio-v1.2 §2.7", "a split queue of %d entries, which is no power of two", c.Size)
	}
	p := parts{mem: mem, rule: "virtio-v1.2 §2.7.1"}
	n := uint64(c.Size)
	q := &splitQueue{
		gatherer: gatherer{mem: mem, size: c.Size, indirect: c.Indirect}, eventIdx: c.EventIdx, mask: c.Size - 1,
	}
	q.table = p.slice("descriptor table", c.Desc, n*descSize, 16)
	avail := p.slice("available ring", c.Driver, availHeader+n*availElement+eventSize, 2)
	used := p.slice("used ring", c.Device, usedHeader+n*usedElement+eventSize, 4)
	if p.err != nil {
		return nil, p.err
	}
	q.availRing, q.usedRing = avail[availHeader:], used[usedHeader:]
	q.availFlags, q.availIdx = p.uint16(c.Driver, 0), p.uint16(c.Driver, 2)
	q.usedEvent = p.uint16(c.Driver, availHeader+n*availElement)
	q.usedFlags, q.usedIdx = p.uint16(c.Device, 0), p.uint16(c.Device, 2)
	q.availEvent = p.uint16(c.Device, usedHeader+n*usedElement)
	return q, p.err
}

// Pop implements Queue.
func (q *splitQueue) Pop(c *Chain) (bool, error) {
	if q.err != nil {
		return false, q.err
	}
	if q.next == q.avail {
		if q.avail = q.availIdx.Load(); q.next == q.avail {
			return false, nil
		}
		if ahead := q.avail - q.next; ahead > q.size {
			q.err = broken("virtio-v1.2 §2.7.6.1", "the available index went from %d to %d in a queue of %d entries",
				q.next, q.avail, q.size)
			return false, q.err
		}
	}
	head := le.Uint16(q.availRing[int(q.next&q.mask)*availElement:])
	if q.err = q.readChain(c, head); q.err != nil {
		return false, q.err
	}
	if q.err = q.take(1); q.err != nil { // a chain has at least one entry
		return false, q.err
	}
	q.next++
	return true, nil
}

// readChain makes c the chain that begins with descriptor head.
func (q *splitQueue) readChain(c *Chain, head uint16) error {
	c.reset(head)
	table, i, indirect := q.table, head, false
	for count := 0; ; count++ {
		if int(i) >= len(table)/descSize {
			return broken("virtio-v1.2 §2.7.5", "descriptor %d of a table of %d", i, len(table)/descSize)
		}
		if count == q.Size() {
			return q.tooLong()
		}
		d := descriptorAt(table, i)
		if d.flags&descIndirect != 0 {
			if indirect {
				return broken("virtio-v1.2 §2.7.5.3.1", "an indirect descriptor in an indirect table")
			}
			var err error
			if table, err = q.tableOf(d); err != nil {
				return err
			}
			// The table's descriptors count, not the one that refers to it.
			i, indirect, count = 0, true, count-1
			continue
		}
		if err := q.add(c, d); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			c.seal()
			return nil
		}
		i = d.next
	}
}

// Push implements Queue (virtio-v1.2 §2.7.8).
func (q *splitQueue) Push(c *Chain, written int) {
	e := q.usedRing[int(q.used&q.mask)*usedElement:]
	le.PutUint32(e, uint32(c.id))
	le.PutUint32(e[4:], uint32(written))
	q.used++
	q.give(1)
}

// Publish implements Queue.
func (q *splitQueue) Publish() (interrupt bool) {
	if q.used == q.shown {
		return false
	}
	old := q.shown
	q.shown = q.used
	q.usedIdx.Store(q.used) // a full fence before the loads below
	if q.eventIdx {
		return crossed(q.usedEvent.Load(), q.used, old)
	}
	return q.availFlags.Load()&availNoInterrupt == 0
}

// EnableNotify implements Queue.
func (q *splitQueue) EnableNotify() (pending bool) {
	if q.eventIdx {
		q.availEvent.Store(q.next)
	} else {
		q.usedFlags.Store(0)
	}
	// The store was a full fence, whose partner is the driver's between
	// its index and its look at what was stored.
	return q.availIdx.Load() != q.next
}

// DisableNotify implements Queue.
func (q *splitQueue) DisableNotify() {
	if !q.eventIdx {
		q.usedFlags.Store(usedNoNotify)
	}
	// With event indexes it is enough not to ask for the next one.
}
