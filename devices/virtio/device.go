package virtio

import (
	"context"

	"microvm/kvm/guestmem"
)

// A DeviceID says what type a device is (virtio-v1.2 §5).
type DeviceID uint32

// The device types that there are packages for.
const (
	IDNet     DeviceID = 1
	IDBlock   DeviceID = 2
	IDConsole DeviceID = 3
	IDEntropy DeviceID = 4
	IDBalloon DeviceID = 5
	IDSocket  DeviceID = 19
)

// A Device is a device type, for as many sessions as the driver begins, one
// after the other.
type Device interface {
	ID() DeviceID
	// Features are those of the type that the device offers (bits 0 to 23
	// and 50 to 127); the transport adds its own.
	Features() Features
	// QueueSizes are the largest sizes of the queues, each a power of two. There
	// are as many queues as sizes, at most [MaxQueues], for the device's life.
	QueueSizes() []uint16
	// AppendConfig appends the configuration space as it is now to b. Its
	// size never changes and is at most [MaxConfig]. It may be called at any
	// time.
	AppendConfig(b []byte) []byte
	// Run serves the driver from DRIVER_OK until ctx is done, which happens
	// when the driver resets the device or the machine ends; it then
	// returns soon, with no goroutine of its own left and no request half
	// done. A *devices.GuestError breaks the device until its reset; any
	// other error is the host's, and ends the machine.
	Run(ctx context.Context, s *Session) error
}

// A ConfigWriter is a Device with fields that the driver may write.
type ConfigWriter interface {
	// WriteConfig writes p to the configuration space at off, all of which
	// are bytes that it has.
	WriteConfig(off int, p []byte)
}

// A ConfigChanger is a Device whose configuration space changes otherwise than
// by what the driver writes.
type ConfigChanger interface {
	// OnConfigChange is called once, before the driver sees the device.
	// After each change the device calls changed, which takes no lock of the
	// device's: a driver that may not know of the change yet is told.
	OnConfigChange(changed func())
}

// A FeatureChecker is a Device whose features depend on one another, or whose
// configuration space depends on those that the driver wants.
type FeatureChecker interface {
	// CheckFeatures returns what is wrong with the features that the driver
	// wants, which are all offered. If nothing is, they are negotiated, and
	// the configuration space is as they demand when it returns.
	CheckFeatures(f Features) error
}

// A Spinner is a Device of some of whose queues the driver waits for the answer in
// a loop, so that its processor does nothing else. On a busy host the thread that
// is to answer might get that processor only when the loop's share of time is
// over; a driver's notification of such a queue comes here, and gives it up.
type Spinner interface {
	// Spins reports whether the driver waits so for what it puts into a
	// queue.
	Spins(queue int) bool
}

// A Describer is a Device that has something to say in the statistics.
type Describer interface {
	Describe() []Property
}

// A Property is something that a device says of itself: how it works, or what
// it has counted.
type Property struct {
	Name  string `json:"name"`
	Value any    `json:"value"` // a string, bool or integer
}

// Limits of a device type.
const (
	// MaxQueues bounds the queues of a device; each has an eventfd, and
	// while it is used a thread.
	MaxQueues = 64
	// MaxConfig is the room for the configuration space in the registers.
	MaxConfig = Size - regConfig
)

// A Session is what a driver and a device have agreed on, from DRIVER_OK until
// the reset.
type Session struct {
	Features Features
	// Queues has an entry for each of the device's queues. On one that the
	// driver has not set up no chain ever comes.
	Queues []*Queue
	// Memory is the guest's, for device types whose requests name pages.
	Memory *guestmem.Memory

	kernelInterrupts func() int
}

// Has reports whether all features of f were negotiated.
func (s *Session) Has(f Features) bool { return s.Features&f == f }

// KernelInterrupts returns an eventfd by which a kernel interface that serves
// queues interrupts the driver itself. It cannot say why in the interrupt status,
// so until the next reset that has the reason that there are used buffers. A
// driver looks for them and may find none, as after any interrupt.
func (s *Session) KernelInterrupts() int { return s.kernelInterrupts() }
