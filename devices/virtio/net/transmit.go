package net

import (
	"context"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// batch bounds the frames that are carried before the driver is shown them, and
// before a reset is noticed.
const batch = 64

// A transmitter carries frames from one queue to the backend.
type transmitter struct {
	device   *Device
	queue    *virtio.Queue
	pair     int
	offloads Offloads  // that the driver may ask for
	receiver *receiver // of the same pair

	chain  virtq.Chain
	header header
	frame  [][]byte
}

func (t *transmitter) run(ctx context.Context) error {
	for {
		n := 0
		for ; n < batch; n++ {
			if ok, err := t.queue.Pop(&t.chain); err != nil {
				return err
			} else if !ok {
				break
			}
			if err := t.send(); err != nil {
				return err
			}
			t.queue.Push(&t.chain, 0)
		}
		if err := t.receiver.answer(ctx, t.queue); err != nil {
			return err
		}
		if n == batch {
			if err := ctx.Err(); err != nil {
				return err
			}
			continue
		}
		if err := t.queue.Wait(ctx); err != nil {
			return err
		}
	}
}

// send gives the frame in the chain to the backend.
func (t *transmitter) send() error {
	r := &t.chain.Reader
	if got, _ := r.Read(t.header[:]); got < HeaderSize {
		return broken("virtio-v1.2 §5.1.6.2", "a frame without a whole header: %d bytes", got)
	}
	n := r.Len()
	if err := t.header.checkSent(n, t.offloads); err != nil {
		return err
	}
	if n > MaxFrame || n < minFrame || t.device.linkDown.Load() {
		t.device.sent.dropped.Add(1)
		return nil
	}
	t.frame = r.Next(append(t.frame[:0], t.header[:]), n)
	t.device.sent.add(n)
	return t.device.backend.Send(t.pair, t.frame)
}
