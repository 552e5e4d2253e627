package serial

import "context"

// Input hands all of p to the guest, as fast as the guest reads it, and loses
// no byte. It waits while RTS is clear or the receive FIFO is full. When ctx is
// done first, it returns ctx's error and how much the guest has been given.
// Calls at the same time are safe, but mix their bytes.
func (u *UART) Input(ctx context.Context, p []byte) (n int, err error) {
	defer u.wakeInput(ctx)()
	u.mu.Lock()
	defer u.mu.Unlock()
	for n < len(p) {
		if err := u.awaitReady(ctx); err != nil {
			return n, err
		}
		n += u.receive(p[n:])
	}
	return n, nil
}

// AwaitReady returns when the guest takes input, or when ctx is done with its
// error.
func (u *UART) AwaitReady(ctx context.Context) error {
	defer u.wakeInput(ctx)()
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.awaitReady(ctx)
}

// wakeInput lets awaitReady see that ctx is done, until stop is called.
func (u *UART) wakeInput(ctx context.Context) (stop func() bool) {
	return context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.canRecv.Broadcast()
	})
}

// awaitReady is AwaitReady with mu held and wakeInput called.
func (u *UART) awaitReady(ctx context.Context) error {
	for !u.ready() && ctx.Err() == nil {
		u.canRecv.Wait()
	}
	return ctx.Err()
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
