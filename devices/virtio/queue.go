package virtio

import (
	"context"
	"sync/atomic"

	"microvm/devices"
	"microvm/devices/eventfd"
	"microvm/devices/virtio/virtq"
)

// A Queue is a virtqueue of a session, with the ways to wait for the driver and
// to interrupt it. As with [virtq.Queue], one goroutine may take chains while
// another gives them back.
type Queue struct {
	vq        virtq.Queue // nil if the driver has not set the queue up
	config    virtq.Config
	doorbell  eventfd.FD
	interrupt func()
	counts    *queueCounts
	trace     func(RingEvent)
	slice     devices.TimeSlice // of who waits
	patient   bool              // who waits is: see Patient
}

// queueCounts are a queue's counts over all sessions.
type queueCounts struct {
	chains, wakeups, interrupts, suppressed atomic.Uint64
}

// Size is the number of the queue's entries, which is also the largest number
// of pieces that a chain can have. It is 0 if the driver has not set the queue up.
func (q *Queue) Size() int {
	if q.vq == nil {
		return 0
	}
	return q.vq.Size()
}

// Config says where the queue is, for a kernel interface that serves it in the
// place of Pop and Push. Its Size is 0 if the driver has not set the queue up.
func (q *Queue) Config() virtq.Config { return q.config }

// Pop takes the next chain. It reports false if there is none: see Wait.
func (q *Queue) Pop(c *virtq.Chain) (bool, error) {
	if q.vq == nil {
		return false, nil
	}
	ok, err := q.vq.Pop(c)
	if ok {
		q.counts.chains.Add(1)
		if q.trace != nil {
			q.trace(RingEvent{Readable: c.Reader.Len(), Writable: c.Writer.Len()})
		}
	}
	return ok, err
}

// Wait returns when Pop may find a chain, when the doorbell rings for another
// reason, or with ctx's error when ctx, which is Run's, is done.
func (q *Queue) Wait(ctx context.Context) error {
	if q.vq != nil {
		if q.vq.EnableNotify() {
			return ctx.Err()
		}
		defer q.vq.DisableNotify()
	}
	q.renewSlice()
	if err := q.doorbell.Wait(); err != nil {
		return err
	}
	q.counts.wakeups.Add(1)
	return ctx.Err()
}

// Next waits until there is a chain, and takes it. The error is ctx's when ctx,
// which is Run's, is done, even if there are chains: a driver that goes on as fast
// as it is served would never see its reset end.
func (q *Queue) Next(ctx context.Context, c *virtq.Chain) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if ok, err := q.Pop(c); ok || err != nil {
			return err
		}
		if err := q.Wait(ctx); err != nil {
			return err
		}
	}
}

// Ring wakes who waits in Wait: what it waits for may have come from the host's
// side.
func (q *Queue) Ring() error { return q.doorbell.Signal() }

// Doorbell is the eventfd that wakes Wait, for a kernel interface that signals
// one itself. It is good until Run returns.
func (q *Queue) Doorbell() int { return q.doorbell.Int() }

// Push gives c back to the driver, with the number of bytes that were written
// to it from its beginning on. The driver gets it with Publish.
//
// Preconditions: c is a chain of q.
func (q *Queue) Push(c *virtq.Chain, written int) {
	if q.trace != nil {
		q.trace(RingEvent{Used: true, Writable: written})
	}
	q.vq.Push(c, written)
}

// Publish lets the driver see what was pushed, and interrupts it if it wants
// that.
func (q *Queue) Publish() { Publish(q) }

// Publish publishes several queues of a session, with at most one interrupt, which is
// of the first queue for which the driver wants it.
func Publish(queues ...*Queue) {
	interrupted := false
	for _, q := range queues {
		switch {
		case q.vq == nil:
		case !q.vq.Publish():
			q.counts.suppressed.Add(1)
		case !interrupted:
			interrupted = true
			q.counts.interrupts.Add(1)
		}
	}
	if interrupted {
		queues[0].interrupt() // which is that of all
	}
}
