package virtq

import "microvm/kvm/guestmem"

// Flags by which a descriptor of a packed ring goes back and forth (virtio-v1.2
// §2.8.1): available if the first is as the wrap counter and the second is not,
// used if both are.
const (
	descAvail = 1 << 7  // VIRTQ_DESC_F_AVAIL
	descUsed  = 1 << 15 // VIRTQ_DESC_F_USED
)

// Sizes and places of the event suppression structures (virtio-v1.2 §2.8.14).
const (
	suppressSize  = 4
	suppressFlags = 2 // the offset of the flags, behind offset and wrap counter
	suppressWrap  = 1 << 15
)

// Flags of event suppression (virtio-v1.2 §2.8.10).
const (
	eventEnable  = 0 // RING_EVENT_FLAGS_ENABLE
	eventDisable = 1 // RING_EVENT_FLAGS_DISABLE
	eventDesc    = 2 // RING_EVENT_FLAGS_DESC: of one descriptor, with EVENT_IDX
	eventMask    = 3
)

// A position is an entry of a packed ring, in an even or odd round.
type position struct {
	index uint16
	wrap  bool // the ring wrap counter
}

// after is the position n entries on.
//
// Preconditions: n is at most size.
func (p position) after(n, size uint16) position {
	if left := size - p.index; n >= left {
		return position{n - left, !p.wrap}
	}
	return position{p.index + n, p.wrap}
}

// available reports whether flags are those of a descriptor that the driver has
// made available at p.
func (p position) available(flags uint16) bool {
	return (flags&descAvail != 0) == p.wrap && (flags&descUsed != 0) != p.wrap
}

// A suppress is an event suppression structure.
type suppress struct {
	offWrap, flags guestmem.Uint16
}

// A packedQueue is a packed virtqueue (virtio-v1.2 §2.8).
type packedQueue struct {
	gatherer
	eventIdx bool

	ring   []byte
	flags  []guestmem.Uint16 // of each descriptor
	driver suppress          // the driver's: of which used descriptor it wants an interrupt
	device suppress          // the device's: of which available one it wants a notification

	// Of the one who pops:
	next position // of the chain that comes next
	err  error    // what has broken the queue

	_ [64]byte // the two sides are on different cache lines

	// Of the one who pushes:
	used       position // of the descriptor that is written next
	first      position // of the first that was written since Publish
	firstFlags uint16   // its flags, which the driver is to see last
	entries    uint16   // given back since Publish
}

func newPacked(mem *guestmem.Memory, c Config) (*packedQueue, error) {
	p := parts{mem: mem, rule: "virtio-v1.2 §2.8.11"}
	q := &packedQueue{
		gatherer: gatherer{mem: mem, size: c.Size, indirect: c.Indirect}, eventIdx: c.EventIdx,
		next: position{wrap: true}, used: position{wrap: true},
	}
	q.ring = p.slice("descriptor ring", c.Desc, uint64(c.Size)*descSize, 16)
	p.slice("driver event suppression", c.Driver, suppressSize, 4)
	p.slice("device event suppression", c.Device, suppressSize, 4)
	if p.err != nil {
		return nil, p.err
	}
	for i := range uint64(c.Size) {
		q.flags = append(q.flags, p.uint16(c.Desc, i*descSize+14))
	}
	q.driver = suppress{p.uint16(c.Driver, 0), p.uint16(c.Driver, suppressFlags)}
	q.device = suppress{p.uint16(c.Device, 0), p.uint16(c.Device, suppressFlags)}
	return q, p.err
}

// Pop implements Queue.
func (q *packedQueue) Pop(c *Chain) (bool, error) {
	if q.err != nil || !q.next.available(q.flags[q.next.index].Load()) {
		return false, q.err
	}
	if q.err = q.readChain(c); q.err != nil {
		return false, q.err
	}
	if q.err = q.take(c.entries); q.err != nil {
		return false, q.err
	}
	q.next = q.next.after(c.entries, q.size)
	return true, nil
}

// readChain makes c the chain that begins at q.next. Its descriptors follow one
// another; the last one has the buffer's ID (virtio-v1.2 §2.8.6).
func (q *packedQueue) readChain(c *Chain) error {
	c.reset(0)
	for at := q.next; ; at = at.after(1, q.size) {
		if c.entries == q.size {
			return q.tooLong()
		}
		c.entries++
		b := q.ring[int(at.index)*descSize:][:descSize]
		d := descriptor{addr: guestmem.Addr(le.Uint64(b)), len: le.Uint32(b[8:]), flags: q.flags[at.index].Load()}
		if !at.available(d.flags) {
			return broken("virtio-v1.2 §2.8.6", "a chain goes on with descriptor %d, which is not available", at.index)
		}
		err := q.addDescriptor(c, d)
		if err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			c.id = le.Uint16(b[12:])
			c.seal()
			return nil
		}
	}
}

// addDescriptor adds the buffer of d, or the buffers of its indirect table, in
// which no flag but WRITE has a meaning (virtio-v1.2 §2.8.7).
func (q *packedQueue) addDescriptor(c *Chain, d descriptor) error {
	if d.flags&descIndirect == 0 {
		return q.add(c, d)
	}
	if c.entries > 1 {
		return broken("virtio-v1.2 §2.8.19", "an indirect descriptor in a chain")
	}
	table, err := q.tableOf(d)
	if err != nil {
		return err
	}
	if len(table)/descSize > q.Size() {
		return q.tooLong()
	}
	for i := range len(table) / descSize {
		if err := q.add(c, descriptorAt(table, uint16(i)).packed()); err != nil {
			return err
		}
	}
	return nil
}

// packed is a descriptor of a table that was read as one of a split queue: the
// last two fields are the other way round.
func (d descriptor) packed() descriptor {
	d.flags, d.next = d.next, d.flags
	return d
}

// Push implements Queue. The first descriptor that is given back gets its flags
// in Publish: until then the driver does not look behind it, so that it never
// sees some of what belongs together (virtio-v1.2 §2.8.9).
func (q *packedQueue) Push(c *Chain, written int) {
	b := q.ring[int(q.used.index)*descSize:][:descSize]
	le.PutUint32(b[8:], uint32(written))
	le.PutUint16(b[12:], c.id)
	var flags uint16
	if q.used.wrap {
		flags = descAvail | descUsed
	}
	if written > 0 {
		flags |= descWrite
	}
	if q.entries == 0 {
		q.first, q.firstFlags = q.used, flags
	} else {
		q.flags[q.used.index].Store(flags)
	}
	q.entries += c.entries
	q.used = q.used.after(c.entries, q.size)
	q.give(c.entries)
}

// Publish implements Queue.
func (q *packedQueue) Publish() (interrupt bool) {
	if q.entries == 0 {
		return false
	}
	entries := q.entries
	q.entries = 0
	q.flags[q.first.index].Store(q.firstFlags) // a full fence before the loads below
	switch flags := q.driver.flags.Load() & eventMask; {
	case flags == eventDisable:
		return false
	case flags == eventDesc && q.eventIdx:
		event := q.driver.offWrap.Load()
		index := event &^ suppressWrap
		if (event&suppressWrap != 0) != q.used.wrap {
			index -= q.size // of the round before
		}
		return crossed(index, q.used.index, q.used.index-entries)
	}
	return true
}

// EnableNotify implements Queue.
func (q *packedQueue) EnableNotify() (pending bool) {
	if q.eventIdx {
		event := q.next.index
		if q.next.wrap {
			event |= suppressWrap
		}
		q.device.offWrap.Store(event)
		q.device.flags.Store(eventDesc)
	} else {
		q.device.flags.Store(eventEnable)
	}
	// The store was a full fence, whose partner is the driver's between
	// the descriptor's flags and its look at what was stored.
	return q.next.available(q.flags[q.next.index].Load())
}

// DisableNotify implements Queue.
func (q *packedQueue) DisableNotify() { q.device.flags.Store(eventDisable) }
