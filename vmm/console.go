package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"microvm/devices/serial"
)

const (
	// consoleChunk is how many bytes of console input are read ahead of the
	// guest. It is small because they are lost if the guest reboots, as the
	// characters on a wire are.
	consoleChunk = 64
	// drainTime is how long a dead guest's last output may take to be
	// written, at the most: a reader that has stalled does not keep the
	// monitor for ever.
	drainTime = 500 * time.Millisecond
	// eot is the character by which a terminal's line discipline knows the
	// end of input: Ctrl-D (POSIX.1-2017 §11.1.9, EOF).
	eot = 0x04
)

// A consoleOutput is the serial port's writer.
type consoleOutput struct {
	ctx context.Context // done when output is no longer wanted
	out ContextWriter
}

// Write implements io.Writer.
func (o consoleOutput) Write(p []byte) (int, error) {
	if o.out == nil {
		return len(p), nil
	}
	return o.out.Write(o.ctx, p)
}

// runConsole carries bytes between the serial port and the console until the
// returned function is called, which waits for the guest's last output to be
// written and for all goroutines to end.
func (m *Machine) runConsole() (finish func()) {
	ctx := m.consoleCtx
	var carriers sync.WaitGroup
	com1 := m.board.com1
	carriers.Go(func() {
		if err := com1.Run(ctx); err != nil {
			m.fail(fmt.Errorf("console: %w", err))
		}
	})
	if in := m.config.Console.In; in != nil {
		carriers.Go(func() {
			if err := feedConsole(ctx, com1, in); err != nil && ctx.Err() == nil {
				m.fail(fmt.Errorf("console input: %w", err))
			}
		})
	}
	return func() {
		draining, stop := context.WithTimeout(ctx, drainTime)
		// If the output failed, Run has said so.
		_ = com1.Drain(draining)
		stop()
		m.stopConsole()
		carriers.Wait()
	}
}

// feedConsole gives the guest what in has, and then the end-of-file character.
// In the middle of a line the first one only completes the line (POSIX.1-2017
// §11.1.9), so that it takes two.
func feedConsole(ctx context.Context, com1 *serial.UART, in ContextReader) error {
	var chunk [consoleChunk]byte
	midLine := false
	for {
		n, err := in.Read(ctx, chunk[:])
		if n > 0 {
			midLine = chunk[n-1] != '\n' && chunk[n-1] != '\r'
			if _, err := com1.Input(ctx, chunk[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			end := []byte{eot, eot}
			if !midLine {
				end = end[:1]
			}
			_, err := com1.Input(ctx, end)
			return err
		case err != nil:
			return err
		}
	}
}
