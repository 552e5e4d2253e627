package vmm

import (
	"microvm/devices/virtio"
	"microvm/kvm"
)

// A Trace is a set of hooks into a running machine; any may be nil. They are
// called from any of its goroutines, several at once, and mostly on a vCPU's
// thread in the middle of an exit, so what they take the guest waits for. They
// must not keep what they are given, nor call the machine: a device may hold its
// lock.
type Trace struct {
	// Exit is called for each exit before it is handled.
	Exit func(cpu int, e kvm.Exit)
	// Access is called after a device, nil-named "none", was read or
	// written. Data is what was read or written.
	Access func(cpu int, a Access, data []byte)
	// Interrupt is called when a device changes its interrupt line.
	Interrupt func(gsi uint32, high bool)
	// Virtio returns the hooks for the virtio device of a name, nil for
	// none. It is called when the machine is built.
	Virtio func(device string) *virtio.Trace
	// Event is called for each point of the timeline.
	Event func(e Event)
}

// seesExits reports whether t is told of exits, all of which are then made.
func (t *Trace) seesExits() bool {
	return t != nil && (t.Exit != nil || t.Access != nil)
}
