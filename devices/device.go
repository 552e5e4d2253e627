// Package devices is what every emulated device shares: the shape of a device
// and of its interrupt line, the bus that finds the device at an address, and
// the error for a guest that breaks a rule.
//
// A device knows neither KVM nor its own address. It sees offsets into its
// register block and, where it has one, an interrupt line; the machine decides
// where the block lies and what the line is wired to. So every device runs in
// a test without /dev/kvm.
package devices

import "fmt"

// A Device is a block of registers on a bus. Accesses are of 1, 2, 4 or 8
// bytes, little-endian, and lie wholly inside the block; off counts from the
// block's start. Both methods are called from vCPU threads, several at once,
// and must not block on anything that a guest or a user can hold up.
//
// A device never fails: where the guest breaks a rule it answers as the chip
// would, or ignores the write.
type Device interface {
	// Name says which device it is in traces and statistics, such as
	// "com1". It is unique in a machine.
	Name() string
	// ReadIO fills all of p with what the registers at off read as.
	ReadIO(off uint64, p []byte)
	// WriteIO writes p to the registers at off.
	WriteIO(off uint64, p []byte)
}

// A Line is one interrupt input of the machine's interrupt controller.
type Line interface {
	// Set drives the line to its high or low level. A level-triggered line
	// interrupts for as long as it is high, an edge-triggered one when it
	// rises.
	Set(high bool) error
}

// A GuestError says that the guest broke a rule of a specification. It is the
// answer to anything that guest bytes cause; a fault of the host or of ours is
// never one.
type GuestError struct {
	Rule   string // the specification and section, such as "virtio-v1.2 §2.7.5.2"
	Detail string // what the guest did
	Err    error  // the cause underneath, or nil
}

func (e *GuestError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("guest broke %s: %s: %v", e.Rule, e.Detail, e.Err)
	}
	return fmt.Sprintf("guest broke %s: %s", e.Rule, e.Detail)
}

func (e *GuestError) Unwrap() error { return e.Err }
