package serial

import (
	"context"
	"errors"
	"io"
)

// feedSize is how many bytes Feed reads at a time: more than a person types
// ahead, and little enough to be kept while the guest does not read.
const feedSize = 4 << 10

// Input hands all of p to the guest, as fast as the guest reads it, and loses
// no byte. It waits while RTS is clear or the receive FIFO is full. When ctx is
// done first, it returns ctx's error and how much the guest has been given.
// Calls at the same time are safe, but mix their bytes.
func (u *UART) Input(ctx context.Context, p []byte) (n int, err error) {
	defer context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.canRecv.Broadcast()
	})()
	u.mu.Lock()
	defer u.mu.Unlock()
	for n < len(p) {
		for !u.ready() && ctx.Err() == nil {
			u.canRecv.Wait()
		}
		if err := ctx.Err(); err != nil {
			return n, err
		}
		n += u.receive(p[n:])
	}
	return n, nil
}

// ready reports whether the guest takes input now. In loopback the receiver is
// off the wire.
func (u *UART) ready() bool {
	return u.mcr&(mcrRTS|mcrLoop) == mcrRTS && u.rx.n < u.depth()
}

func (u *UART) receive(p []byte) int {
	n := u.rx.push(p, u.depth())
	u.counts.In += uint64(n)
	u.update()
	return n
}

// Feed hands the guest what it reads from r, and returns nil at r's end. It
// ends with an error when r fails or when ctx is done; a read in progress is
// not interrupted. The guest is told nothing of the end.
func (u *UART) Feed(ctx context.Context, r io.Reader) error {
	buf := make([]byte, feedSize)
	for {
		n, err := r.Read(buf)
		if _, err := u.Input(ctx, buf[:n]); err != nil {
			return err
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
