package console

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// outLimit is how many bytes of a port's output the device holds. More stays in
// the guest's buffers until Read has made room. It is some screens full, so that
// a guest rarely waits for a terminal.
const outLimit = 64 << 10

// ErrClosed is the error of a Write to a port that the guest has not opened, or
// has closed.
var ErrClosed = errors.New("console: the guest has not opened the port")

// A Port is the host's end of a port. It outlives sessions: what the guest had
// sent before a reset can be read after it. The host's end is always open.
//
// At most one goroutine may be in Read, and one in Write.
type Port struct {
	name string

	mu      sync.Mutex
	changed sync.Cond // of what is below
	open    bool      // the guest's end
	input   []byte    // what the Write in progress has not handed over
	output  fifo      // what the guest has sent, and Read not taken
	reading bool      // a Read waits
	counts  Counts
}

// Counts says how many bytes went through a port.
type Counts struct {
	In  uint64 // handed to the guest
	Out uint64 // sent by the guest, and read
}

func newPort(name string) *Port {
	p := &Port{name: name}
	p.changed.L = &p.mu
	return p
}

// Counts returns the traffic so far.
func (p *Port) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Write hands all of b to the guest, as fast as the guest takes it. When ctx is
// done first it returns ctx's error, and [ErrClosed] if the guest's end of the
// port is not open, or is closed meanwhile; n bytes are then with the guest, and
// the others are not.
func (p *Port) Write(ctx context.Context, b []byte) (n int, err error) {
	defer context.AfterFunc(ctx, p.wake)()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.input = b
	p.changed.Broadcast()
	for p.open && len(p.input) > 0 && ctx.Err() == nil {
		p.changed.Wait()
	}
	n = len(b) - len(p.input)
	p.input = nil
	switch {
	case n == len(b):
		return n, nil
	case !p.open:
		return n, ErrClosed
	}
	return n, ctx.Err()
}

// Read reads what the guest sends, waiting until there is something, or until
// ctx is done with its error.
func (p *Port) Read(ctx context.Context, b []byte) (int, error) {
	defer context.AfterFunc(ctx, p.wake)()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reading = true
	defer func() { p.reading = false }()
	p.changed.Broadcast()
	for p.output.n == 0 && ctx.Err() == nil {
		p.changed.Wait()
	}
	if p.output.n == 0 {
		return 0, ctx.Err()
	}
	n := p.output.read(b)
	p.counts.Out += uint64(n)
	p.changed.Broadcast()
	return n, nil
}

// AwaitOpen returns when the guest's end of the port is open, or when ctx is
// done with its error.
func (p *Port) AwaitOpen(ctx context.Context) error {
	return p.await(ctx, func() bool { return p.open })
}

// Drain waits until all that the guest has sent is read, and the reader has come
// back for more: it has done with it what it wanted. It is for the end of a
// guest. The error is ctx's.
func (p *Port) Drain(ctx context.Context) error {
	if err := p.await(ctx, func() bool { return p.output.n == 0 && p.reading }); err != nil {
		return fmt.Errorf("not all of the guest's output is taken: %w", err)
	}
	return nil
}

// await returns when ok does, which is called with mu held, or with ctx's error
// when ctx is done.
func (p *Port) await(ctx context.Context, ok func() bool) error {
	defer context.AfterFunc(ctx, p.wake)()
	p.mu.Lock()
	defer p.mu.Unlock()
	for !ok() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		p.changed.Wait()
	}
	return nil
}

// wake makes all who wait look at their contexts.
func (p *Port) wake() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed.Broadcast()
}

func (p *Port) setOpen(open bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = open
	p.changed.Broadcast()
}

// receive fills the driver's buffers in a receiveq with what Write has.
func (p *Port) receive(ctx context.Context, q *virtio.Queue) error {
	var c virtq.Chain
	for {
		if err := nextWritable(ctx, q, &c); err != nil {
			return err
		}
		n, err := p.fill(ctx, &c.Writer)
		if err != nil {
			return err
		}
		q.Push(&c, n)
		q.Publish()
	}
}

// fill waits for input and moves to w what fits.
func (p *Port) fill(ctx context.Context, w *virtq.Writer) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !(p.open && len(p.input) > 0) && ctx.Err() == nil {
		p.changed.Wait()
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	n, _ := w.Write(p.input)
	p.input = p.input[n:]
	p.counts.In += uint64(n)
	p.changed.Broadcast()
	return n, nil
}

// transmit takes what the driver puts into a transmitq.
func (p *Port) transmit(ctx context.Context, q *virtio.Queue) error {
	var c virtq.Chain
	for {
		if err := nextReadable(ctx, q, &c); err != nil {
			return err
		}
		if err := p.keep(ctx, &c.Reader); err != nil {
			return err
		}
		q.Push(&c, 0)
		q.Publish()
	}
}

// keep keeps all of r for Read, waiting while there is no room.
func (p *Port) keep(ctx context.Context, r *virtq.Reader) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for r.Len() > 0 {
		for p.output.n == outLimit && ctx.Err() == nil {
			p.changed.Wait()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p.output.fill(r)
		p.changed.Broadcast()
	}
	return nil
}

// emergency keeps a byte for Read if there is room: who writes it waits for
// nothing.
func (p *Port) emergency(b byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.output.n < outLimit {
		p.output.push(b)
		p.changed.Broadcast()
	}
}
