package vsock

import (
	"context"
	"sync"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// A transmitter sends packets to the guest, one sender at a time.
type transmitter struct {
	ctx  context.Context // the session's
	fail func(error)     // ends the session
	q    *virtio.Queue   // rx

	// bulk is taken before mu by those that have data to send: only one of
	// them is ever in the way of a packet without, for which a program in the
	// guest may be waiting.
	bulk sync.Mutex

	mu      sync.Mutex
	chain   virtq.Chain // guarded by mu, as all below
	taken   bool        // chain is taken from the queue and not used yet
	pending bool        // a chain was pushed and not published
	scratch []byte
}

// A stamp makes the header of the next packet, which has room for up to n bytes
// of data, and says how many it is to have. It reports false if there is nothing
// to be sent any more.
type stamp func(n int) (h header, data int, ok bool)

// transmit sends data, in as many packets as it takes, or one packet without
// any. It returns how many bytes were sent. While it waits for the guest, so do
// all others that want to send.
func (t *transmitter) transmit(data []byte, next stamp) (sent int, err error) {
	if len(data) > 0 {
		t.bulk.Lock()
		defer t.bulk.Unlock()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.publish()
	for {
		if err := t.room(); err != nil {
			t.fail(err)
			return sent, err
		}
		h, n, ok := next(min(len(data)-sent, t.space()))
		if !ok {
			return sent, nil
		}
		t.put(&h, data[sent:sent+n])
		if sent += n; sent == len(data) {
			return sent, nil
		}
	}
}

// transmitHeader sends h.
func (t *transmitter) transmitHeader(h header) error {
	_, err := t.transmit(nil, func(int) (header, int, bool) { return h, 0, true })
	return err
}

// room waits until there is a chain to write a packet to.
func (t *transmitter) room() error {
	// A doorbell that rings for the end of the session wakes one sender; the
	// others see the context before they wait.
	if err := t.ctx.Err(); err != nil || t.taken {
		return err
	}
	for {
		ok, err := t.q.Pop(&t.chain)
		switch {
		case err != nil:
			return err
		case ok:
			t.taken = true
			return checkRX(&t.chain)
		}
		t.publish() // what the guest has to take before it gives more
		if err := t.q.Wait(t.ctx); err != nil {
			return err
		}
	}
}

// checkRX checks the form of a buffer for a packet.
func checkRX(c *virtq.Chain) error {
	if c.Reader.Len() > 0 {
		return broken("5.10.6.4", "a buffer on rx with %d bytes to read; they are write-only", c.Reader.Len())
	}
	if c.Writer.Len() <= headerSize {
		return broken("5.10.6.4", "a buffer of %d bytes on rx; a packet with data has more than %d", c.Writer.Len(), headerSize)
	}
	return nil
}

// space is the number of bytes of data that fit into the next packet.
//
// Preconditions: room has returned nil.
func (t *transmitter) space() int { return t.chain.Writer.Len() - headerSize }

// put writes a packet to the chain and gives it back.
//
// Preconditions: room has returned nil, and len(data) <= space.
func (t *transmitter) put(h *header, data []byte) {
	h.len = uint32(len(data))
	t.scratch = h.append(t.scratch[:0])
	_, _ = t.chain.Writer.Write(t.scratch) // there is room
	_, _ = t.chain.Writer.Write(data)
	t.q.Push(&t.chain, headerSize+len(data))
	t.taken, t.pending = false, true
}

// publish lets the guest see what was put.
func (t *transmitter) publish() {
	if t.pending {
		t.q.Publish()
		t.pending = false
	}
}
