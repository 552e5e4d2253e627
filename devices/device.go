// Package devices is what every emulated device shares: the shape of a device
// and of its interrupt line, and the bus that finds the device at an address.
//
// A device knows neither KVM nor its own address. It sees offsets into its
// register block and, where it has one, an interrupt line; the machine decides
// where the block lies and what the line is wired to. So every device runs in
// a test without /dev/kvm.
//
// # Locks
//
// A device calls its line with its own lock held, so that levels reach the
// interrupt controller in the order in which they arose. It calls the functions
// that it was made with, such as a reset, with none. Neither calls back into
// the device.
//
// # Ports without a device
//
// These a stock kernel tries although nothing is there. All ones are what it
// expects of a machine without them, and writes have no effect:
//
//	0x00-0x1f, 0x81-0x8f, 0xc0-0xdf  DMA controllers: Linux goes by page register 0x87
//	0x2e, 0x4e                       Super I/O chips: an ID of all ones is none
//	0x80                             diagnostics: written to waste time, so each write is an exit for nothing
//	0x92                             system control port A: bit 1, address line 20 is on
//	0xb2                             SMI command: the FADT names none
//	0x2f8, 0x3e8, 0x2e8              COM2 to COM4: an IER that cannot be cleared is no chip
//	0x3b0-0x3df                      VGA: not tried while the boot parameters name no video mode
//
// The interrupt controllers (0x20, 0xa0, 0x4d0), the interval timer (0x40) and
// port 0x61 are KVM's own.
package devices

// A Device is a block of registers on a bus. Accesses are of 1, 2 or 4 bytes by
// a port and of 1 to 8 by memory, where KVM cuts an access in two that crosses a
// page. They are little-endian and lie wholly inside the block; off counts from the
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
