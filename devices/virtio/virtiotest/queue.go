package virtiotest

import (
	"time"

	"microvm/devices/virtio"
	"microvm/kvm/guestmem"
)

// Flags of a descriptor (virtio-v1.2 §2.7.5).
const (
	Next     = 1
	Write    = 2
	Indirect = 4
)

// A Queue is the driver's side of a split virtqueue.
type Queue struct {
	d                  *Driver
	Index              uint32
	Size               uint16
	Desc, Avail, Used  guestmem.Addr
	eventIdx, indirect bool

	nextDesc  uint16 // descriptors are used in turn, and reused when the ring is empty
	availIdx  uint16
	usedIdx   uint16
	published uint16 // availIdx at the last notification
}

// AddQueue sets up queue i with the given size in fresh memory.
func (d *Driver) AddQueue(i uint32, size uint16, f virtio.Features) *Queue {
	d.T.Helper()
	q := &Queue{
		d: d, Index: i, Size: size,
		Desc: d.Alloc(16 * int(size)), Avail: d.Alloc(6 + 2*int(size)), Used: d.Alloc(6 + 8*int(size)),
		eventIdx: f&virtio.FeatureEventIdx != 0, indirect: f&virtio.FeatureIndirectDesc != 0,
	}
	d.Write32(QueueSel, i)
	d.Write32(QueueNum, uint32(size))
	for _, area := range []struct {
		reg  uint64
		addr guestmem.Addr
	}{{QueueDescLow, q.Desc}, {QueueDriverLow, q.Avail}, {QueueDeviceLow, q.Used}} {
		d.Write32(area.reg, uint32(area.addr))
		d.Write32(area.reg+4, uint32(area.addr>>32))
	}
	d.Write32(QueueReady, 1)
	return q
}

// A Buffer is one element of a chain: readable bytes, or room to write.
type Buffer struct {
	Addr     guestmem.Addr
	Len      int
	Writable bool
}

// Out puts p into guest memory and returns a buffer of it for the device to
// read.
func (d *Driver) Out(p []byte) Buffer {
	d.T.Helper()
	a := d.Alloc(len(p))
	copy(d.Bytes(a, len(p)), p)
	return Buffer{Addr: a, Len: len(p)}
}

// In returns a buffer of n bytes for the device to write.
func (d *Driver) In(n int) Buffer {
	d.T.Helper()
	return Buffer{Addr: d.Alloc(n), Len: n, Writable: true}
}

// SetDesc writes descriptor i as it is, right or wrong.
func (q *Queue) SetDesc(i uint16, a guestmem.Addr, n uint32, flags, next uint16) {
	q.d.T.Helper()
	putDesc(q.d.Bytes(q.Desc+guestmem.Addr(i)*16, 16), a, n, flags, next)
}

func putDesc(b []byte, a guestmem.Addr, n uint32, flags, next uint16) {
	le.PutUint64(b, uint64(a))
	le.PutUint32(b[8:], n)
	le.PutUint16(b[12:], flags)
	le.PutUint16(b[14:], next)
}

// Add makes a chain of buffers available, and returns its head. The device
// sees it after Notify, or earlier.
func (q *Queue) Add(buffers ...Buffer) (head uint16) {
	q.d.T.Helper()
	if len(buffers) > int(q.Size) {
		q.d.T.Fatalf("%d buffers in a queue of %d", len(buffers), q.Size)
	}
	head = q.nextDesc
	for i, b := range buffers {
		at := q.nextDesc
		q.nextDesc = (q.nextDesc + 1) % q.Size
		flags := uint16(0)
		if b.Writable {
			flags |= Write
		}
		if i+1 < len(buffers) {
			flags |= Next
		}
		q.SetDesc(at, b.Addr, uint32(b.Len), flags, q.nextDesc)
	}
	q.AddHead(head)
	return head
}

// AddIndirect is Add with the descriptors in a table of their own.
func (q *Queue) AddIndirect(buffers ...Buffer) (head uint16) {
	q.d.T.Helper()
	table := q.d.Alloc(16 * len(buffers))
	for i, b := range buffers {
		flags := uint16(0)
		if b.Writable {
			flags |= Write
		}
		if i+1 < len(buffers) {
			flags |= Next
		}
		putDesc(q.d.Bytes(table+guestmem.Addr(i)*16, 16), b.Addr, uint32(b.Len), flags, uint16(i+1))
	}
	head = q.nextDesc
	q.nextDesc = (q.nextDesc + 1) % q.Size
	q.SetDesc(head, table, uint32(16*len(buffers)), Indirect, 0)
	q.AddHead(head)
	return head
}

// AddHead puts a descriptor's number into the available ring.
func (q *Queue) AddHead(head uint16) {
	q.d.T.Helper()
	le.PutUint16(q.d.Bytes(q.Avail+4+2*guestmem.Addr(q.availIdx%q.Size), 2), head)
	q.SetAvailIdx(q.availIdx + 1)
}

// SetAvailIdx sets the available ring's index, right or wrong.
func (q *Queue) SetAvailIdx(i uint16) {
	q.d.T.Helper()
	q.availIdx = i
	q.store(q.Avail+2, i)
}

func (q *Queue) store(a guestmem.Addr, v uint16) {
	if err := q.d.Memory.Store16(a, v); err != nil {
		q.d.T.Fatal(err)
	}
}

func (q *Queue) load(a guestmem.Addr) uint16 {
	v, err := q.d.Memory.Load16(a)
	if err != nil {
		q.d.T.Fatal(err)
	}
	return v
}

// WantsNotify reports whether the device wants to be notified of what was
// added since the last call.
func (q *Queue) WantsNotify() bool {
	old := q.published
	q.published = q.availIdx
	if q.eventIdx {
		event := q.load(q.Used + 4 + 8*guestmem.Addr(q.Size))
		return q.availIdx-event-1 < q.availIdx-old
	}
	return q.load(q.Used)&1 == 0
}

// Notify tells the device that there are chains, if it wants to know.
func (q *Queue) Notify() {
	if q.WantsNotify() {
		q.d.Write32(QueueNotify, q.Index)
	}
}

// A Used is a chain that the device has given back.
type Used struct {
	Head    uint16
	Written int // bytes
}

// TryUsed returns the next chain that the device has given back, if there is
// one.
func (q *Queue) TryUsed() (Used, bool) {
	q.d.T.Helper()
	if q.load(q.Used+2) == q.usedIdx {
		return Used{}, false
	}
	e := q.d.Bytes(q.Used+4+8*guestmem.Addr(q.usedIdx%q.Size), 8)
	q.usedIdx++
	if q.eventIdx {
		q.store(q.Avail+4+2*guestmem.Addr(q.Size), q.usedIdx) // interrupt for the next one
	}
	return Used{uint16(le.Uint32(e)), int(le.Uint32(e[4:]))}, true
}

// AwaitUsed waits for the next chain that the device gives back.
func (q *Queue) AwaitUsed() Used {
	q.d.T.Helper()
	deadline := time.Now().Add(Patience)
	for {
		if u, ok := q.TryUsed(); ok {
			return u
		}
		if time.Now().After(deadline) {
			q.d.T.Fatalf("the device does not give back what is in queue %d; its status is %v, %+v",
				q.Index, q.d.Status(), q.d.Device.Stats())
		}
		q.d.awaitInterruptUntil(deadline)
	}
}

// Do makes a chain available, notifies the device, waits until it gives the
// chain back, and returns how many bytes it has written.
func (q *Queue) Do(buffers ...Buffer) int {
	q.d.T.Helper()
	head := q.Add(buffers...)
	q.Notify()
	u := q.AwaitUsed()
	if u.Head != head {
		q.d.T.Fatalf("the device gave back chain %d, not %d", u.Head, head)
	}
	return u.Written
}
