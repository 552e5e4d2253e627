package vmm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"microvm/devices/guestport"
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
	// askTime is how long input that nobody types waits for a guest that has
	// opened its console to ask what is there. The project's own guest asks
	// as soon as its kernel has started it; other guests never do.
	askTime = 3 * time.Second
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
// written and for all goroutines to end. Its error says that some of the output
// is lost.
func (m *Machine) runConsole() (finish func() error) {
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
			err := m.awaitListener(ctx)
			if err == nil {
				err = feedConsole(ctx, com1, in)
			}
			if err != nil && ctx.Err() == nil {
				m.fail(fmt.Errorf("console input: %w", err))
			}
		})
	}
	return func() error {
		err := drain(ctx, com1)
		m.stopConsole()
		carriers.Wait()
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		return nil
	}
}

// drain waits for a dead guest's last output to be written, as long as the
// reader takes some of it within drainTime.
func drain(ctx context.Context, com1 *serial.UART) error {
	for {
		before := com1.Counts().Out
		draining, stop := context.WithTimeout(ctx, drainTime)
		err := com1.Drain(draining)
		stop()
		if !errors.Is(err, context.DeadlineExceeded) || com1.Counts().Out == before {
			return err
		}
	}
}

// awaitListener returns when the guest can be given input. A kernel's terminal
// echoes what arrives, which a person wants to see and a script's author does
// not: from a file or a pipe input waits until the guest has asked what is at
// the other end, for before it asks it makes its console raw.
func (m *Machine) awaitListener(ctx context.Context) error {
	if err := m.board.com1.AwaitReady(ctx); err != nil || m.config.Console.Terminal {
		return err
	}
	select {
	case <-m.consoleAsked:
	case <-time.After(askTime):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// consoleInfo answers the guest that asks what is at the console's other end.
func (m *Machine) consoleInfo() guestport.ConsoleInfo {
	select {
	case m.consoleAsked <- struct{}{}:
	default: // it has asked before
	}
	c := m.config.Console
	return guestport.ConsoleInfo{Terminal: c.Terminal, Columns: c.Columns, Rows: c.Rows}
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
