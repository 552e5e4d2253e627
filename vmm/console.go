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
	"microvm/devices/virtio/console"
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

// A consoleOutput is where the console's devices write, one at a time.
type consoleOutput struct {
	ctx context.Context // done when output is no longer wanted
	mu  sync.Mutex      // guards the use of out
	out ContextWriter
}

// Write implements io.Writer.
func (o *consoleOutput) Write(p []byte) (int, error) {
	if o.out == nil {
		return len(p), nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.out.Write(o.ctx, p)
}

// A consoleInput is what input goes to: a serial port, or what it hands over to.
type consoleInput interface {
	// AwaitReady returns when the guest takes input, or with ctx's error.
	AwaitReady(ctx context.Context) error
	// Input gives the guest all of p, or returns ctx's error and how much
	// it has given.
	Input(ctx context.Context, p []byte) (int, error)
}

// runConsole carries bytes between the guest and the console until the returned
// function is called, which waits for the guest's last output to be written and
// for all goroutines to end. Its error says that some of the output is lost.
func (m *Machine) runConsole() (finish func() error) {
	ctx := m.consoleCtx
	var carriers sync.WaitGroup
	com1 := m.board.com1
	carriers.Go(func() {
		if err := com1.Run(ctx); err != nil {
			m.fail(fmt.Errorf("console: %w", err))
		}
	})
	var input consoleInput = com1
	drainHVC := func() error { return nil }
	if m.hvc != nil {
		h := &handover{com1, m.hvc.Console()}
		input = h
		carrying, stop := context.WithCancel(ctx)
		carriers.Go(func() {
			defer stop() // nothing more is drained
			if err := h.output(carrying, m.consoleOut); err != nil && ctx.Err() == nil {
				m.fail(fmt.Errorf("console: %w", err))
			}
		})
		drainHVC = func() error {
			return drain(carrying, h.hvc0.Drain, func() uint64 { return h.hvc0.Counts().Out })
		}
	}
	if in := m.config.Console.In; in != nil {
		carriers.Go(func() {
			err := m.awaitListener(ctx, input)
			if err == nil {
				err = feedConsole(ctx, input, in)
			}
			if err != nil && ctx.Err() == nil {
				m.fail(fmt.Errorf("console input: %w", err))
			}
		})
	}
	return func() error {
		err := errors.Join(drain(ctx, com1.Drain, func() uint64 { return com1.Counts().Out }), drainHVC())
		m.stopConsole()
		carriers.Wait()
		if err != nil {
			return fmt.Errorf("console: %w", err)
		}
		return nil
	}
}

// drain waits for a dead guest's last output to be written, as long as the
// reader takes some of it, which written counts, within drainTime.
func drain(ctx context.Context, all func(context.Context) error, written func() uint64) error {
	for {
		before := written()
		draining, stop := context.WithTimeout(ctx, drainTime)
		err := all(draining)
		stop()
		if !errors.Is(err, context.DeadlineExceeded) || written() == before {
			return err
		}
	}
}

// awaitListener returns when the guest can be given input. A kernel's terminal
// echoes what arrives, which a person wants to see and a script's author does
// not: from a file or a pipe input waits until the guest has asked what is at
// the other end, for before it asks it makes its console raw.
func (m *Machine) awaitListener(ctx context.Context, input consoleInput) error {
	if err := input.AwaitReady(ctx); err != nil || m.config.Console.Terminal {
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
	m.sizeMu.Lock()
	defer m.sizeMu.Unlock()
	return guestport.ConsoleInfo{Terminal: m.config.Console.Terminal, Columns: m.columns, Rows: m.rows}
}

// Resize says that the console's terminal has another size now, in characters.
// A guest whose console is hvc0 learns of it at once, another when it asks. It
// may be called at any time, from any goroutine.
func (m *Machine) Resize(columns, rows uint16) {
	m.sizeMu.Lock()
	m.columns, m.rows = columns, rows
	m.sizeMu.Unlock()
	if m.hvc != nil {
		m.hvc.Resize(columns, rows)
	}
}

// Port is the host's end of a generic port of Config.Console.Ports, nil if there
// is none of that name.
func (m *Machine) Port(name string) *console.Port {
	if m.hvc == nil {
		return nil
	}
	return m.hvc.Port(name)
}

// consoleCounts is what went over the console.
func (m *Machine) consoleCounts() serial.Counts {
	c := m.board.com1.Counts()
	if m.hvc != nil {
		h := m.hvc.Console().Counts()
		c.In, c.Out = c.In+h.In, c.Out+h.Out
	}
	return c
}

// feedConsole gives the guest what in has, and then the end-of-file character.
// In the middle of a line the first one only completes the line (POSIX.1-2017
// §11.1.9), so that it takes two.
func feedConsole(ctx context.Context, input consoleInput, in ContextReader) error {
	var chunk [consoleChunk]byte
	midLine := false
	for {
		n, err := in.Read(ctx, chunk[:])
		if n > 0 {
			midLine = chunk[n-1] != '\n' && chunk[n-1] != '\r'
			if _, err := input.Input(ctx, chunk[:n]); err != nil {
				return err
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			end := []byte{eot, eot}
			if !midLine {
				end = end[:1]
			}
			_, err := input.Input(ctx, end)
			return err
		case err != nil:
			return err
		}
	}
}
