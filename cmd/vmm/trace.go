package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"microvm/devices/virtio"
	"microvm/kvm"
	"microvm/vmm"
)

// What --trace can show.
const (
	traceExits  = "exits"
	traceBus    = "bus"
	traceIRQ    = "irq"
	traceEvents = "events"
	traceVirtio = "virtio"
)

var traceKinds = []string{traceExits, traceBus, traceIRQ, traceEvents, traceVirtio}

// traceBuffer is how much of a trace waits to be written, and traceDelay for how
// long: a trace of exits has thousands of lines a second, and one of a guest that
// hangs has its last lines, which are those that are wanted.
const (
	traceBuffer = 64 << 10
	traceDelay  = 50 * time.Millisecond
)

// A tracer writes what happens in a machine, one line each, with the seconds
// since the process started.
type tracer struct {
	start time.Time

	mu   sync.Mutex
	out  *bufio.Writer // guarded by mu
	due  bool          // guarded by mu: a flush will come by itself
	held bool          // guarded by mu: all lines wait for release
}

func newTracer(w io.Writer, start time.Time) *tracer {
	return &tracer{start: start, out: bufio.NewWriterSize(w, traceBuffer)}
}

// hooks returns the hooks for kinds, nil if there is nothing to trace.
func (t *tracer) hooks(kinds []string) *vmm.Trace {
	if len(kinds) == 0 {
		return nil
	}
	var h vmm.Trace
	if slices.Contains(kinds, traceExits) {
		h.Exit = func(cpu int, e kvm.Exit) { t.line("cpu%d exit %v", cpu, e) }
	}
	if slices.Contains(kinds, traceBus) {
		h.Access = func(cpu int, a vmm.Access, data []byte) {
			verb := "read "
			if a.Write {
				verb = "write"
			}
			t.line("cpu%d %s %s %#x %s+%#x: % x", cpu, verb, a.Space, a.Addr, a.Device, a.Offset, data)
		}
	}
	if slices.Contains(kinds, traceIRQ) {
		h.Interrupt = func(gsi uint32, high bool) {
			level := "low"
			if high {
				level = "high"
			}
			t.line("irq %d %s", gsi, level)
		}
	}
	if slices.Contains(kinds, traceEvents) {
		h.Event = func(e vmm.Event) {
			t.line("event %s", eventName(e))
			// Events are few, and who waits for one wants it now. An
			// error shows in the flush at the end.
			_ = t.flush()
		}
	}
	if slices.Contains(kinds, traceVirtio) {
		h.Virtio = t.virtioHooks
	}
	return &h
}

// virtioHooks are the hooks for one virtio device.
func (t *tracer) virtioHooks(device string) *virtio.Trace {
	return &virtio.Trace{
		Status: func(s virtio.Status, err error) {
			if err != nil {
				t.line("virtio %s status %v: %v", device, s, err)
				return
			}
			t.line("virtio %s status %v", device, s)
		},
		Features: func(offered, accepted virtio.Features, refused error) {
			if refused != nil {
				t.line("virtio %s refuses the driver's features: %v", device, refused)
				return
			}
			t.line("virtio %s features %v; offered, not accepted: %v", device, accepted, offered&^accepted)
		},
		Ring: func(queue int, e virtio.RingEvent) {
			if e.Used {
				t.line("virtio %s queue %d used: %d bytes written", device, queue, e.Writable)
				return
			}
			t.line("virtio %s queue %d chain: %d bytes to read, %d to write", device, queue, e.Readable, e.Writable)
		},
	}
}

// line writes one line. What cannot be written shows in flush.
func (t *tracer) line(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, "%11.6f ", time.Since(t.start).Seconds())
	fmt.Fprintf(t.out, format, args...)
	t.out.WriteByte('\n')
	if !t.due {
		t.due = true
		time.AfterFunc(traceDelay, t.flushDue)
	}
}

// flushDue is the flush that comes by itself. An error shows in flush.
func (t *tracer) flushDue() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.due = false
	if !t.held {
		_ = t.out.Flush()
	}
}

// hold keeps all lines until release: those of a machine that is being built,
// while the file still has the last run's. They are few.
func (t *tracer) hold() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = true
}

// release ends a hold.
func (t *tracer) release() error {
	t.mu.Lock()
	t.held = false
	t.mu.Unlock()
	return t.flush()
}

// flush writes what waits, and returns the first error of all writing.
func (t *tracer) flush() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.held {
		return nil
	}
	if err := t.out.Flush(); err != nil {
		return fmt.Errorf("trace: %w", err)
	}
	return nil
}
