package serial

import "context"

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
