package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"microvm/devices/serial"
	"microvm/devices/virtio/console"
)

// hvcChunk is how many bytes of hvc0's output are written at once. A reader who
// takes less in drainTime loses what a dead guest has sent.
const hvcChunk = 16 << 10

// A handover is the console of a guest that starts on the serial port, whose
// driver every kernel has from its first moment, and goes on to hvc0. Input
// goes to hvc0 while its port is open, else to the serial port.
type handover struct {
	com1 *serial.UART
	hvc0 *console.Port
}

// AwaitReady implements consoleInput.
func (h *handover) AwaitReady(ctx context.Context) error {
	closed, stop := h.whileClosed(ctx)
	defer stop()
	_ = h.com1.AwaitReady(closed) // or hvc0's port is open, which is as good
	return ctx.Err()
}

// Input implements consoleInput.
func (h *handover) Input(ctx context.Context, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		if k, err = h.hvc0.Write(ctx, p[n:]); errors.Is(err, console.ErrClosed) {
			n += k
			k, err = h.inputEarly(ctx, p[n:])
		}
		n += k
	}
	return n, err
}

// inputEarly gives p to the serial port, as much of it as the guest takes before
// hvc0's port is open.
func (h *handover) inputEarly(ctx context.Context, p []byte) (int, error) {
	closed, stop := h.whileClosed(ctx)
	defer stop()
	n, err := h.com1.Input(closed, p)
	if errors.Is(err, context.Canceled) {
		err = ctx.Err() // nil if it was the port that ended the wait
	}
	return n, err
}

// whileClosed returns a context that is done when hvc0's port opens, until stop
// is called.
func (h *handover) whileClosed(ctx context.Context) (_ context.Context, stop func()) {
	closed, cancel := context.WithCancel(ctx)
	var watcher sync.WaitGroup
	watcher.Go(func() {
		if h.hvc0.AwaitOpen(closed) == nil {
			cancel()
		}
	})
	return closed, func() {
		cancel()
		watcher.Wait()
	}
}

// output writes what the guest sends to hvc0, until ctx is done. What it has
// sent to the serial port before comes first.
func (h *handover) output(ctx context.Context, w io.Writer) error {
	chunk := make([]byte, hvcChunk)
	for {
		n, err := h.hvc0.Read(ctx, chunk)
		if err != nil {
			return err
		}
		if err := h.com1.Drain(ctx); err != nil {
			return err
		}
		if _, err := w.Write(chunk[:n]); err != nil {
			return fmt.Errorf("hvc0: output: %w", err)
		}
	}
}
