package vmm

import (
	"slices"
	"sync"
	"time"
)

// maxEvents bounds the timeline: a guest can write its mark as often as it
// likes.
const maxEvents = 1024

// The points of the timeline that every start has, in their order.
const (
	EventVMCreated = "VM created"    // KVM_CREATE_VM, irqchip and vCPUs
	EventLoaded    = "kernel loaded" // kernel, initrd, tables and registers are in place
	EventFirstRun  = "first KVM_RUN"
	EventMark      = "guest mark"
	EventEnd       = "guest ended"
)

// A timeline keeps what happened when, since the process started.
type timeline struct {
	start time.Time
	hook  func(Event) // Trace.Event, or nil

	mu     sync.Mutex
	events []Event // guarded by mu
}

// add puts e on the timeline, now.
func (t *timeline) add(e Event) {
	e.At = time.Since(t.start)
	t.mu.Lock()
	if len(t.events) < maxEvents {
		t.events = append(t.events, e)
	}
	t.mu.Unlock()
	if t.hook != nil {
		t.hook(e)
	}
}

func (t *timeline) all() []Event {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.events)
}
