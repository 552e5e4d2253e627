package virtq

import (
	"encoding/binary"

	"microvm/devices"
	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// Sizes of a split virtqueue's parts in bytes (virtio-v1.2 §2.7).
const (
	descSize     = 16
	availHeader  = 4 // flags, idx
	availElement = 2 // the head of a chain
	usedHeader   = 4 // flags, idx
	usedElement  = 8 // id, len
	eventSize    = 2 // used_event, avail_event: behind the ring
)

// Flags of a descriptor (virtio-v1.2 §2.7.5) and of the rings (§2.7.6, §2.7.8).
const (
	descNext         = 1 << 0 // VIRTQ_DESC_F_NEXT: next is the chain's next descriptor
	descWrite        = 1 << 1 // VIRTQ_DESC_F_WRITE: the device writes the buffer
	descIndirect     = 1 << 2 // VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors
	availNoInterrupt = 1 << 0 // VIRTQ_AVAIL_F_NO_INTERRUPT
	usedNoNotify     = 1 << 0 // VIRTQ_USED_F_NO_NOTIFY
)

// A split is the three parts of a split virtqueue in guest memory, checked and
// looked up once.
type split struct {
	mask  uint16 // Size - 1
	table []byte // descriptors

	availFlags, availIdx guestmem.Uint16
	availRing            []byte
	usedEvent            guestmem.Uint16 // the driver's: of which used element it wants an interrupt

	usedFlags, usedIdx guestmem.Uint16
	usedRing           []byte
	availEvent         guestmem.Uint16 // the device's: of which chain it wants a notification
}

// newSplit finds the parts in memory. They must be aligned (virtio-v1.2 §2.7.1)
// and RAM.
func newSplit(mem *guestmem.Memory, c Config) (split, error) {
	p := parts{mem: mem}
	n := uint64(c.Size)
	s := split{mask: c.Size - 1}
	s.table = p.slice("descriptor table", c.Desc, n*descSize, 16)
	avail := p.slice("available ring", c.Driver, availHeader+n*availElement+eventSize, 2)
	used := p.slice("used ring", c.Device, usedHeader+n*usedElement+eventSize, 4)
	if p.err != nil {
		return split{}, p.err
	}
	s.availRing, s.usedRing = avail[availHeader:], used[usedHeader:]
	s.availFlags, s.availIdx = p.uint16(c.Driver, 0), p.uint16(c.Driver, 2)
	s.usedEvent = p.uint16(c.Driver, availHeader+n*availElement)
	s.usedFlags, s.usedIdx = p.uint16(c.Device, 0), p.uint16(c.Device, 2)
	s.availEvent = p.uint16(c.Device, usedHeader+n*usedElement)
	return s, p.err
}

// parts looks things up in guest memory; the first error stands.
type parts struct {
	mem *guestmem.Memory
	err error
}

func (p *parts) slice(what string, a guestmem.Addr, n, align uint64) []byte {
	b, err := p.mem.Slice(a, n)
	if p.err != nil {
		return nil
	}
	if uint64(a)%align != 0 {
		p.err = broken("virtio-v1.2 §2.7.1", "the %s at %v is not aligned to %d bytes", what, a, align)
	} else if err != nil {
		p.err = &devices.GuestError{Rule: "virtio-v1.2 §2.7.1", Detail: "the " + what + " is not in RAM", Err: err}
	}
	return b
}

func (p *parts) uint16(a guestmem.Addr, off uint64) guestmem.Uint16 {
	u, err := p.mem.Uint16(a + guestmem.Addr(off)) // within a slice, so it does not wrap
	if p.err == nil && err != nil {
		p.err = err
	}
	return u
}

// head is the descriptor that the chain at index i of the available ring begins
// with.
func (s *split) head(i uint16) uint16 {
	return le.Uint16(s.availRing[int(i&s.mask)*availElement:])
}

// setUsed writes the element at index i of the used ring (virtio-v1.2 §2.7.8).
func (s *split) setUsed(i, head uint16, written uint32) {
	e := s.usedRing[int(i&s.mask)*usedElement:]
	le.PutUint32(e, uint32(head))
	le.PutUint32(e[4:], written)
}

// A descriptor is a copy of one in guest memory (virtio-v1.2 §2.7.5).
type descriptor struct {
	addr  guestmem.Addr
	len   uint32
	flags uint16
	next  uint16
}

// descriptorAt copies descriptor i of a table.
//
// Preconditions: the table has it.
func descriptorAt(table []byte, i uint16) descriptor {
	b := table[int(i)*descSize:][:descSize]
	return descriptor{guestmem.Addr(le.Uint64(b)), le.Uint32(b[8:]), le.Uint16(b[12:]), le.Uint16(b[14:])}
}

// readChain makes c the chain that begins with descriptor head.
func (q *Queue) readChain(c *Chain, head uint16) error {
	c.reset(head)
	table, i := q.ring.table, head
	// At most Size descriptors are read besides the one that refers to an
	// indirect table, so that a loop ends.
	for count := 0; ; count++ {
		if int(i) >= len(table)/descSize {
			return broken("virtio-v1.2 §2.7.5", "descriptor %d of a table of %d", i, len(table)/descSize)
		}
		if count == q.Size() {
			return broken("virtio-v1.2 §2.7.5.3.1", "a chain of more descriptors than the queue's %d: a loop, or too long", q.Size())
		}
		d := descriptorAt(table, i)
		if d.flags&descIndirect != 0 {
			if err := q.checkIndirect(d, &table[0] != &q.ring.table[0]); err != nil {
				return err
			}
			indirect, err := q.mem.Slice(d.addr, uint64(d.len))
			if err != nil {
				return &devices.GuestError{Rule: "virtio-v1.2 §2.7.5.3", Detail: "an indirect table is not in RAM", Err: err}
			}
			table, i, count = indirect, 0, count-1
			continue
		}
		if err := q.addPiece(c, d); err != nil {
			return err
		}
		if d.flags&descNext == 0 {
			c.seal()
			return nil
		}
		i = d.next
	}
}

// checkIndirect checks a descriptor that refers to an indirect table (virtio-v1.2
// §2.7.5.3.1). Its write-only flag is ignored (§2.7.5.3.2).
func (q *Queue) checkIndirect(d descriptor, nested bool) error {
	const rule = "virtio-v1.2 §2.7.5.3.1"
	switch {
	case !q.config.Indirect:
		return broken(rule, "an indirect descriptor, but VIRTIO_F_INDIRECT_DESC is not negotiated")
	case nested:
		return broken(rule, "an indirect descriptor in an indirect table")
	case d.flags&descNext != 0:
		return broken(rule, "a descriptor that is both indirect and has a next one")
	case d.len == 0 || d.len%descSize != 0:
		return broken("virtio-v1.2 §2.7.5.3", "an indirect table of %d bytes", d.len)
	}
	return nil
}

// addPiece adds the buffer of d to c. An empty one is left out: no rule forbids
// it, and it changes nothing.
func (q *Queue) addPiece(c *Chain, d descriptor) error {
	writable := d.flags&descWrite != 0
	if !writable && c.writes {
		return broken("virtio-v1.2 §2.7.4.2", "a readable buffer after a writable one")
	}
	c.writes = writable
	if d.len == 0 {
		return nil
	}
	if c.sum += uint64(d.len); c.sum > maxChainBytes {
		return broken("virtio-v1.2 §2.7.5.2", "a chain of %d bytes or more", c.sum)
	}
	b, err := q.mem.Slice(d.addr, uint64(d.len))
	if err != nil {
		return &devices.GuestError{Rule: "virtio-v1.2 §2.7.5", Detail: "a buffer is not in RAM", Err: err}
	}
	c.pieces = append(c.pieces, b)
	if !writable {
		c.readable++
	}
	return nil
}

// maxChainBytes is "2^32 bytes in total" (virtio-v1.2 §2.7.5.2), less one so that
// what a device has written fits into 32 bits.
const maxChainBytes = 1<<32 - 1
