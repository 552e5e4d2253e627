// Package virtq is the device's side of virtqueues: rings in guest memory by
// which a driver hands over buffers and gets them back.
//
//	driver                         guest memory                     device
//	puts a chain's head in ──────> available ring ──────> Pop: a checked Chain
//	                               descriptor table ───────┘   │ Reader, Writer
//	takes it from <─────────────── used ring <──────────── Push, Publish
//
// That is a split virtqueue (split.go). In a packed one (packed.go) the two rings
// and the table are one: the device writes its answer over the descriptors it has
// read.
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
// Pop loads the driver's index (in a packed ring a descriptor's flags) with
// acquire order, whose partner is the driver's release of it after the chain is
// written. Publish stores the device's index (flags) with release order, for the
// driver's acquire. In two places a store must be seen before a later load, which
// takes a full fence, and an atomic read-modify-write is one: Publish stores its
// index and then looks whether the driver wants an interrupt, EnableNotify says
// that it wants notifications and then looks for what came before; the driver
// does the same the other way round, so that at least one side sees the other.
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
	Desc     guestmem.Addr // of the descriptor table, or the descriptor ring
	Driver   guestmem.Addr // of the driver area: the available ring, or driver event suppression
	Device   guestmem.Addr // of the device area: the used ring, or device event suppression
	Packed   bool          // VIRTIO_F_RING_PACKED is negotiated
	Indirect bool          // VIRTIO_F_INDIRECT_DESC is negotiated
	EventIdx bool          // VIRTIO_F_EVENT_IDX is negotiated
}

// A Queue is a virtqueue seen from the device. Two goroutines may use it at
// once if one of them keeps to Pop, EnableNotify and DisableNotify and the
// other to Push and Publish.
type Queue interface {
	// Size is the number of entries, which is also the largest number of
	// pieces that a chain can have.
	Size() int
	// Pop takes the next chain that the driver has made available. It
	// reports false if there is none. An error breaks the queue.
	Pop(c *Chain) (bool, error)
	// EnableNotify asks the driver to notify the device of the next chain,
	// and reports whether there is one already, of which no notification
	// may come.
	EnableNotify() (pending bool)
	// DisableNotify tells the driver that it need not notify the device,
	// which is looking at the queue anyway.
	DisableNotify()
	// Push gives c back to the driver, with the number of bytes that the
	// device has written to it from its beginning on. The driver sees all that
	// was pushed, at once, after Publish.
	Push(c *Chain, written int)
	// Publish shows the driver what was pushed since the last call, and
	// reports whether it wants an interrupt for it.
	Publish() (interrupt bool)
}

// New returns the queue that c describes, at its beginning. The error is a
// [*devices.GuestError].
func New(mem *guestmem.Memory, c Config) (Queue, error) {
	if c.Size == 0 || c.Size > MaxSize {
		return nil, broken("virtio-v1.2 §2.7", "a queue of %d entries", c.Size)
	}
	if c.Packed {
		return newPacked(mem, c)
	}
	return newSplit(mem, c)
}

func broken(rule, format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// parts looks the parts of a queue up in guest memory; the first error stands.
type parts struct {
	mem  *guestmem.Memory
	rule string // says how they are aligned
	err  error
}

// slice is the n bytes at a, which must be a multiple of align.
func (p *parts) slice(what string, a guestmem.Addr, n, align uint64) []byte {
	b, err := p.mem.Slice(a, n)
	switch {
	case p.err != nil:
	case uint64(a)%align != 0:
		p.err = broken(p.rule, "the %s at %v is not aligned to %d bytes", what, a, align)
	case err != nil:
		p.err = &devices.GuestError{Rule: p.rule, Detail: "the " + what + " is not in RAM", Err: err}
	}
	return b
}

// uint16 is the place of 16 bits at offset off from a.
//
// Preconditions: it is within a slice that slice has returned, or slice has
// found an error.
func (p *parts) uint16(a guestmem.Addr, off uint64) guestmem.Uint16 {
	u, err := p.mem.Uint16(a + guestmem.Addr(off))
	if p.err == nil && err != nil {
		p.err = err
	}
	return u
}
