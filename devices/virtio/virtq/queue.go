// Package virtq is the device's side of virtqueues: rings in guest memory by
// which a driver hands over buffers and gets them back.
//
//	driver                         guest memory                     device
//	puts a chain's head in ──────> available ring ──────> Pop: a checked Chain
//	                               descriptor table ───────┘   │ Reader, Writer
//	takes it from <─────────────── used ring <──────────── Push, Publish
//
// A queue knows nothing of device types, transports or interrupts: Publish only
// says whether the driver wants one.
//
// # Safety
//
// The driver is not trusted. Pop reads each descriptor once, into a variable,
// and checks what it read; a chain is handed out whole and checked, or not at
// all. It reads at most as many descriptors as the queue has entries, and an
// index that is further ahead than that is an error: no chain is processed
// twice, none for ever. What the driver does wrong is a [*devices.GuestError],
// after which the queue is broken and returns the same error for ever.
//
// # Barriers
//
// Pop loads the driver's index with acquire order, whose partner is the
// driver's release of it after the chain is written. Publish stores the
// device's index with release order, for the driver's acquire. In two places
// a store must be seen before a later load, which takes a full fence, and an
// atomic read-modify-write is one: Publish stores its index and then looks
// whether the driver wants an interrupt, EnableNotify says that it wants
// notifications and then looks for what came before; the driver does the same
// the other way round, so that at least one side sees the other.
package virtq

import (
	"fmt"

	"microvm/devices"
	"microvm/kvm/guestmem"
)

// MaxSize is the largest size of a queue (virtio-v1.2 §2.7: "Queue Size ...
// is always a power of 2. The maximum Queue Size value is 32768").
const MaxSize = 32768

// A Config says where a queue is and how it works: what the driver has told the
// transport.
type Config struct {
	Size     uint16        // entries
	Desc     guestmem.Addr // of the descriptor table
	Driver   guestmem.Addr // of the driver area: the available ring
	Device   guestmem.Addr // of the device area: the used ring
	Indirect bool          // VIRTIO_F_INDIRECT_DESC is negotiated
	EventIdx bool          // VIRTIO_F_EVENT_IDX is negotiated
}

// A Queue is a virtqueue seen from the device. Two goroutines may use it at
// once if one of them keeps to Pop, EnableNotify and DisableNotify and the
// other to Push and Publish.
type Queue struct {
	mem    *guestmem.Memory
	config Config
	ring   split

	// Of the one who pops:
	next  uint16 // the index of the chain that comes next
	avail uint16 // the driver's index as last read
	err   error  // what has broken the queue

	_ [64]byte // the two sides are on different cache lines

	// Of the one who pushes:
	used  uint16 // the index of the element that is written next
	shown uint16 // the index that the driver has been shown
}

// New returns the queue that c describes, at its beginning. The error is a
// [*devices.GuestError].
func New(mem *guestmem.Memory, c Config) (*Queue, error) {
	if c.Size == 0 || c.Size > MaxSize || c.Size&(c.Size-1) != 0 {
		return nil, broken("virtio-v1.2 §2.7", "a queue of %d entries", c.Size)
	}
	ring, err := newSplit(mem, c)
	if err != nil {
		return nil, err
	}
	return &Queue{mem: mem, config: c, ring: ring}, nil
}

func broken(rule, format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// Size is the number of entries, which is also the largest number of pieces
// that a chain can have.
func (q *Queue) Size() int { return int(q.config.Size) }

// Pop takes the next chain that the driver has made available. It reports false
// if there is none. An error breaks the queue.
func (q *Queue) Pop(c *Chain) (bool, error) {
	if q.err != nil {
		return false, q.err
	}
	if q.next == q.avail {
		if q.avail = q.ring.availIdx.Load(); q.next == q.avail {
			return false, nil
		}
		if ahead := q.avail - q.next; ahead > q.config.Size {
			q.err = broken("virtio-v1.2 §2.7.6.1", "the available index went from %d to %d in a queue of %d entries", q.next, q.avail, q.config.Size)
			return false, q.err
		}
	}
	if q.err = q.readChain(c, q.ring.head(q.next)); q.err != nil {
		return false, q.err
	}
	q.next++
	return true, nil
}

// Push gives c back to the driver, with the number of bytes that the device has
// written to it from its beginning on. The driver sees it after Publish.
func (q *Queue) Push(c *Chain, written int) {
	q.ring.setUsed(q.used, c.head, uint32(written))
	q.used++
}

// Publish shows the driver what was pushed since the last call, and reports
// whether it wants an interrupt for it.
func (q *Queue) Publish() (interrupt bool) {
	if q.used == q.shown {
		return false
	}
	old := q.shown
	q.shown = q.used
	q.ring.usedIdx.Store(q.used) // a full fence before the loads below
	if q.config.EventIdx {
		return crossed(q.ring.usedEvent.Load(), q.used, old)
	}
	return q.ring.availFlags.Load()&availNoInterrupt == 0
}

// crossed reports whether the index event is among those from old up to, but
// not including, now. They wrap at 2^16 (virtio-v1.2 §2.7.7.2, §2.7.10.1).
func crossed(event, now, old uint16) bool { return now-event-1 < now-old }

// EnableNotify asks the driver to notify the device of the next chain, and
// reports whether there is one already, of which no notification may come.
func (q *Queue) EnableNotify() (pending bool) {
	if q.config.EventIdx {
		q.ring.availEvent.Store(q.next)
	} else {
		q.ring.usedFlags.Store(0)
	}
	// The store was a full fence, whose partner is the driver's between
	// its index and its look at what was stored.
	return q.ring.availIdx.Load() != q.next
}

// DisableNotify tells the driver that it need not notify the device, which is
// looking at the queue anyway.
func (q *Queue) DisableNotify() {
	if !q.config.EventIdx {
		q.ring.usedFlags.Store(usedNoNotify)
	}
	// With event indexes it is enough not to ask for the next one.
}
