package vmm

import (
	"slices"
	"sync"
	"time"
)

// maxMarks bounds the timeline: a guest can write its mark as often as it
// likes.
const maxMarks = 1024

// The points of the timeline. The first two have no order: they are reached at
// the same time.
const (
	EventVMCreated = "VM created"    // KVM_CREATE_VM, irqchip and vCPUs
	EventLoaded    = "kernel loaded" // kernel, initrd and tables are in memory
	EventFirstRun  = "first KVM_RUN"
	EventMark      = "guest mark"
	EventEnd       = "guest ended"
)

// A timeline keeps what happened when, since the process started.
type timeline struct {
	start time.Time
	hook  func(Event) // Trace.Event, or nil

	mu     sync.Mutex // guards what follows
	events []Event    // in order of time
	marks  int        // EventMark among them
}

// add puts e on the timeline, now.
func (t *timeline) add(e Event) {
	t.mu.Lock()
	e.At = time.Since(t.start)
	if e.Name == EventMark {
		t.marks++
	}
	if e.Name != EventMark || t.marks <= maxMarks {
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
