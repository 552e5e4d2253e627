package net

import (
	"context"
	"sync"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// A receiver carries frames from the backend to one queue. A frame goes straight
// into the driver's buffers: into as many as there are at the time, up to the
// largest frame, and what does not fit into a spill of the monitor's, to be
// copied when the driver has given more.
//
// It has a goroutine, run; frames that answer the guest's own the transmitter
// carries itself, by answer.
type receiver struct {
	device    *Device
	queue     *virtio.Queue
	pair      int
	mergeable bool
	maxPlain  int // length of the largest frame that is no segments
	terms     *terms
	slice     devices.TimeSlice // of run

	mu sync.Mutex // held by who carries frames; guards the fields below

	// Chains that wait for frames: a ring of which count from first on are
	// taken, with room for bytes in all.
	ring         []virtq.Chain
	first, count int
	room         int

	header header
	spill  []byte
	into   [][]byte
	direct int // bytes of the frame, header included, that into puts into chains
}

// maxPieces is when a frame is received into no further chain, which has at most
// queueSize pieces: with the spill they are not more than readv(2) takes, which
// is 1024 (linux uio.h UIO_MAXIOV).
const maxPieces = 1024 - 1 - queueSize

func newReceiver(d *Device, s *virtio.Session, pair int, terms *terms) *receiver {
	q := s.Queues[2*pair]
	r := &receiver{
		device: d, queue: q, pair: pair, mergeable: s.Has(FeatureMrgRxbuf), terms: terms,
		maxPlain: MaxFrame,
		ring:     make([]virtq.Chain, q.Size()),
		spill:    make([]byte, MaxFrame),
	}
	if s.Has(FeatureMTU) {
		r.maxPlain = EthernetSize + int(d.MTU)
	}
	if !r.mergeable {
		r.ring = make([]virtq.Chain, 1) // a frame has one chain
	}
	return r
}

func (r *receiver) run(ctx context.Context) error {
	for {
		r.mu.Lock()
		more, err := r.carry(ctx, true)
		if err == nil {
			r.queue.Publish()
		}
		r.mu.Unlock()
		if err != nil {
			return err
		}
		if more {
			err = ctx.Err()
		} else {
			err = r.device.backend.Wait(ctx, r.pair)
			r.slice.Renew()
		}
		if err != nil {
			return err
		}
	}
}

// answer carries what the backend has for the guest since the transmitter gave it
// frames, and publishes it together with sent, the transmitter's queue. What has to
// wait for the driver is left to run.
func (r *receiver) answer(ctx context.Context, sent *virtio.Queue) error {
	backend := r.device.backend
	if !backend.Answers(r.pair) {
		sent.Publish()
		return nil
	}
	if !r.mu.TryLock() { // run is at it, or waits for the driver
		sent.Publish()
		backend.Wake(r.pair)
		return nil
	}
	defer r.mu.Unlock()
	more, err := r.carry(ctx, false)
	if err != nil {
		return err
	}
	virtio.Publish(sent, r.queue)
	if more {
		backend.Wake(r.pair)
	}
	return nil
}

// carry carries frames until there is none, and reports whether there may be more.
// It waits for the driver to give room if wait is true, else it ends.
//
// Preconditions: r.mu is held, and the caller publishes the queue.
func (r *receiver) carry(ctx context.Context, wait bool) (more bool, err error) {
	more = true
	for n := 0; n < batch && more && err == nil; n++ {
		if err := r.gather(); err != nil {
			return false, err
		}
		switch {
		case r.count == 0 && wait:
			r.queue.Publish()
			return true, r.queue.Wait(ctx)
		case r.room < HeaderSize+MaxFrame && !wait:
			return true, nil // there may be a frame that has to wait
		}
		more, err = r.receive(ctx)
	}
	return more, err
}

// receive carries a frame, and reports whether there was one.
//
// Preconditions: there is a chain for it.
func (r *receiver) receive(ctx context.Context) (bool, error) {
	r.aim()
	n, err := r.device.backend.Receive(r.pair, r.into)
	if n == 0 || err != nil {
		return false, err
	}
	if ok, err := r.admit(ctx, n); err != nil {
		return false, err
	} else if !ok {
		r.device.received.dropped.Add(1)
		return true, nil
	}
	return true, r.deliver(n)
}

// at is the i-th chain that waits.
func (r *receiver) at(i int) *virtq.Chain { return &r.ring[(r.first+i)%len(r.ring)] }

// gather takes chains until there is room for any frame, or until there are no
// more.
func (r *receiver) gather() error {
	for r.room < HeaderSize+MaxFrame && r.count < len(r.ring) {
		if ok, err := r.take(); !ok || err != nil {
			return err
		}
	}
	return nil
}

// take takes one chain.
func (r *receiver) take() (bool, error) {
	c := r.at(r.count)
	ok, err := r.queue.Pop(c)
	if !ok || err != nil {
		return false, err
	}
	if c.Writer.Len() < HeaderSize {
		return false, broken("virtio-v1.2 §5.1.6.3.1",
			"a receive buffer of %d bytes, which has no room for a header of %d", c.Writer.Len(), HeaderSize)
	}
	r.count++
	r.room += c.Writer.Len()
	return true, nil
}

// aim makes into of the header, the chains' room behind it, and the spill.
func (r *receiver) aim() {
	r.into = append(r.into[:0], r.header[:])
	r.direct = HeaderSize
	for i := 0; i < r.count && len(r.into) < maxPieces; i++ {
		room := r.at(i).Writer.Buffers
		if i == 0 {
			room.Skip(HeaderSize)
		}
		r.direct += room.Len()
		r.into = room.Next(r.into, room.Len())
	}
	r.into = append(r.into, r.spill)
}

// wanted reports whether the driver takes a frame of n bytes with this header:
// it may have changed its mind while the frame waited.
func (r *receiver) wanted(n int) bool {
	h, accepted := &r.header, r.terms.accepted.Load()
	if !accepted.Checksum {
		h[HeaderFlags] &^= HeaderDataValid // "MUST set flags to zero" (virtio-v1.2 §5.1.6.4.1)
	}
	switch {
	case r.device.linkDown.Load(), !h.allowed(*accepted), r.pair >= int(r.terms.pairs.Load()):
		return false
	case h.gsoType() == GSONone && n > r.maxPlain:
		return false // "MUST NOT pass received packets that exceed mtu" (virtio-v1.2 §5.1.4.1)
	}
	return true
}

// admit waits until there is room for a frame of n bytes with its header, and
// reports whether the driver is to get it. It is not if the driver does not want
// it, or not any more, and if it is longer than all that a driver can give.
func (r *receiver) admit(ctx context.Context, n int) (bool, error) {
	for r.wanted(n - HeaderSize) {
		if r.room >= n {
			return true, nil
		}
		if r.count == len(r.ring) {
			return false, nil
		}
		if ok, err := r.take(); err != nil {
			return false, err
		} else if !ok {
			// What was pushed before is of frames that are whole.
			r.queue.Publish()
			if err := r.queue.Wait(ctx); err != nil {
				return false, err
			}
		}
	}
	return false, nil
}

// deliver gives the frame of n bytes with its header to the driver, in as many
// chains as it needs.
//
// Preconditions: there is room for it.
func (r *receiver) deliver(n int) error {
	chains, off := 0, 0 // how many hold the frame, and how much of it
	for off < n {
		w := r.at(chains).Writer
		r.copySpill(w, off, n)
		off += w.Len()
		chains++
	}
	r.header.set(HeaderNumBuffers, chains)
	w := r.at(0).Writer
	if _, err := w.Write(r.header[:]); err != nil {
		return err
	}
	r.give(chains, n)
	r.device.received.add(n - HeaderSize)
	return nil
}

// copySpill copies what belongs into w, the room from byte off of a frame of n
// on, and is in the spill.
func (r *receiver) copySpill(w virtq.Writer, off, n int) {
	if end := min(off+w.Len(), n); end > r.direct {
		from := max(off, r.direct)
		w.Skip(from - off)
		_, _ = w.Write(r.spill[from-r.direct : end-r.direct]) // it fits
	}
}

// give pushes the first chains, which n bytes were written to.
func (r *receiver) give(chains, n int) {
	for i := range chains {
		c := r.at(i)
		room := c.Writer.Len()
		written := min(room, n)
		r.queue.Push(c, written)
		n -= written
		r.room -= room
	}
	r.first = (r.first + chains) % len(r.ring)
	r.count -= chains
}
