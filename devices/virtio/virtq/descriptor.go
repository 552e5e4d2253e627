package virtq

import (
	"encoding/binary"
	"sync/atomic"

	"microvm/devices"
	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// descSize is the size of a descriptor in bytes, in tables and in packed rings.
const descSize = 16

// Flags of a descriptor (virtio-v1.2 §2.7.5, §2.8.13).
const (
	descNext     = 1 << 0 // VIRTQ_DESC_F_NEXT: the chain goes on
	descWrite    = 1 << 1 // VIRTQ_DESC_F_WRITE: the device writes the buffer
	descIndirect = 1 << 2 // VIRTQ_DESC_F_INDIRECT: the buffer is a table of descriptors
)

// maxChainBytes is "2^32 bytes in total" (virtio-v1.2 §2.7.5.2), less one so that
// what a device has written fits into 32 bits.
const maxChainBytes = 1<<32 - 1

// A descriptor is a copy of one in guest memory.
type descriptor struct {
	addr  guestmem.Addr
	len   uint32
	flags uint16
	next  uint16 // in a table: the chain's next descriptor
}

// descriptorAt copies descriptor i of a table.
//
// Preconditions: the table has it.
func descriptorAt(table []byte, i uint16) descriptor {
	b := table[int(i)*descSize:][:descSize]
	return descriptor{guestmem.Addr(le.Uint64(b)), le.Uint32(b[8:]), le.Uint16(b[12:]), le.Uint16(b[14:])}
}

// A gatherer makes chains of descriptors, whatever the ring they come from. The
// rules that it names are those of split queues; virtio-v1.2 §2.8.17 and §2.8.19
// say the same of packed ones.
type gatherer struct {
	mem      *guestmem.Memory
	size     uint16 // of the queue
	indirect bool   // VIRTIO_F_INDIRECT_DESC is negotiated

	// out is the number of ring entries whose chains the device has. A ring
	// has room for size of them; a driver that offers more would have the
	// device keep any number of requests.
	out atomic.Int32
}

// Size implements Queue.
func (g *gatherer) Size() int { return int(g.size) }

// take counts entries that Pop has taken.
func (g *gatherer) take(entries uint16) error {
	if n := g.out.Add(int32(entries)); n > int32(g.size) {
		return broken("virtio-v1.2 §2.7.13", "%d entries are in use at once in a queue of %d", n, g.size)
	}
	return nil
}

// give counts entries that Push has given back.
func (g *gatherer) give(entries uint16) { g.out.Add(-int32(entries)) }

// tableOf is the indirect table that d refers to (virtio-v1.2 §2.7.5.3.1).
// The write-only flag of d is ignored (§2.7.5.3.2).
func (g *gatherer) tableOf(d descriptor) ([]byte, error) {
	const rule = "virtio-v1.2 §2.7.5.3.1"
	switch {
	case !g.indirect:
		return nil, broken(rule, "an indirect descriptor, but VIRTIO_F_INDIRECT_DESC is not negotiated")
	case d.flags&descNext != 0:
		return nil, broken(rule, "a descriptor that is both indirect and has a next one")
	case d.len == 0 || d.len%descSize != 0:
		return nil, broken("virtio-v1.2 §2.7.5.3", "an indirect table of %d bytes", d.len)
	}
	table, err := g.mem.Slice(d.addr, uint64(d.len))
	if err != nil {
		return nil, &devices.GuestError{Rule: "virtio-v1.2 §2.7.5.3", Detail: "an indirect table is not in RAM", Err: err}
	}
	return table, nil
}

// add adds the buffer of d to c. An empty one is left out: no rule forbids it, and
// it changes nothing.
func (g *gatherer) add(c *Chain, d descriptor) error {
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
	b, err := g.mem.Slice(d.addr, uint64(d.len))
	if err != nil {
		return &devices.GuestError{Rule: "virtio-v1.2 §2.7.5", Detail: "a buffer is not in RAM", Err: err}
	}
	c.pieces = append(c.pieces, b)
	if !writable {
		c.readable++
	}
	return nil
}

// tooLong is the error of a chain of more descriptors than the queue's size. A
// loop of them is found by it, too.
func (g *gatherer) tooLong() error {
	return broken("virtio-v1.2 §2.7.5.3.1",
		"a chain of more descriptors than the queue's %d: a loop, or too long", g.size)
}

// crossed reports whether the index event is among those from old up to, but
// not including, now. They wrap at 2^16 (virtio-v1.2 §2.7.7.2, §2.7.10.1).
func crossed(event, now, old uint16) bool { return now-event-1 < now-old }
