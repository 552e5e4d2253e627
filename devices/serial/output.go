package serial

import (
	"context"
	"fmt"
	"time"
)

const (
	// outLimit is how many bytes the guest may be ahead of Run; more are
	// lost. Run holds as many again in the batch that it is writing.
	outLimit = 64 << 10
	// outHold is from where on THRE stays clear. A driver that waits for
	// THRE loses nothing; the rest of outLimit is for those that do not,
	// such as Linux' console, which waits 10 ms for each byte and then
	// sends it regardless.
	outHold = outLimit / 2
	// linger is how long Run waits for more after the first byte of a
	// batch. Bytes come one an exit, so this turns a write for each byte
	// into one for each line, too soon for a person to notice.
	linger = time.Millisecond
	// lingerBelow is the size of a batch, in bytes, from where on lingering
	// gains nothing.
	lingerBelow = 4 << 10
)

// thrEmpty reports whether the transmitter takes another FIFO's worth.
func (u *UART) thrEmpty() bool { return len(u.pending)+fifoSize <= outHold }

func (u *UART) send(v uint8) {
	if u.err != nil || len(u.pending) == outLimit {
		u.counts.Lost++
		return
	}
	u.pending = append(u.pending, v)
	if len(u.pending) == 1 {
		u.canWrite.Signal()
	}
}

// fail records the first failure of the host's side. From then on what the
// guest sends is dropped, so that it does not wait for somebody who has gone.
func (u *UART) fail(err error) {
	if u.err == nil {
		u.err = err
	}
	u.counts.Lost += uint64(len(u.pending))
	u.setPending(nil)
	u.canWrite.Broadcast()
	u.drained.Broadcast()
}

// Run writes what the guest sends until ctx is done, and then returns nil. It
// returns an error if a write fails, such as EPIPE when the reader has gone, or
// if the interrupt line cannot be set; the guest can run on, unheard. Run is to
// be called once.
//
// A write in progress is not interrupted: who passes a writer that can block
// for ever unblocks it, or leaves Run behind.
func (u *UART) Run(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.canWrite.Broadcast()
	})()
	var batch []byte
	for {
		if !u.awaitOutput(ctx) {
			u.mu.Lock()
			defer u.mu.Unlock()
			return u.err
		}
		batch = u.take(batch)
		n, err := u.out.Write(batch)
		u.written(n, len(batch)-n, err)
	}
}

// awaitOutput waits until there is a batch to write. It returns false when Run
// has to end.
func (u *UART) awaitOutput(ctx context.Context) bool {
	u.mu.Lock()
	for len(u.pending) == 0 && u.err == nil && ctx.Err() == nil {
		u.canWrite.Wait()
	}
	n, err := len(u.pending), u.err
	u.mu.Unlock()

	if err == nil && n < lingerBelow {
		select {
		case <-ctx.Done():
		case <-time.After(linger):
		}
	}
	return err == nil && ctx.Err() == nil
}

// take returns what is pending, for Run to write, and keeps old for the bytes
// to come. The transmitter is empty again.
func (u *UART) take(old []byte) []byte {
	u.mu.Lock()
	defer u.mu.Unlock()
	batch := u.pending
	u.writing = len(batch)
	u.setPending(old[:0])
	u.update()
	return batch
}

// setPending replaces pending by an empty slice. A driver that waits for THRE
// is owed an interrupt.
func (u *UART) setPending(empty []byte) {
	if !u.thrEmpty() {
		u.thrPending = true
	}
	u.pending = empty
}

// written records that Run has written n bytes of a batch, and with an error
// not the rest of it.
func (u *UART) written(n, rest int, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing = 0
	u.counts.Out += uint64(n)
	if err != nil {
		u.counts.Lost += uint64(rest)
		u.fail(fmt.Errorf("%s: output: %w", u.name, err))
		u.update()
		return
	}
	if len(u.pending) == 0 {
		u.drained.Broadcast()
	}
}

// unsent is how many of the guest's bytes are not written yet.
func (u *UART) unsent() int { return len(u.pending) + u.writing }

// Drain waits until Run has written all that the guest has sent. It is for the
// end of a guest, and Run must still be running. It returns why not all of it
// is out: that Run failed, or that ctx was done first.
func (u *UART) Drain(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.drained.Broadcast()
	})()
	u.mu.Lock()
	defer u.mu.Unlock()
	for u.unsent() > 0 && u.err == nil && ctx.Err() == nil {
		u.drained.Wait()
	}
	if u.err != nil || u.unsent() == 0 {
		return u.err
	}
	return fmt.Errorf("%s: %d bytes of output not taken: %w", u.name, u.unsent(), ctx.Err())
}
