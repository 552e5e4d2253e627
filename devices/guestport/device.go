// Package guestport is a small device of our own, by which a guest's programs
// and its monitor tell each other what no standard device does: how far the
// guest's start is, which exit status its payload ended with, and what kind of
// console is at the other end of the serial port.
//
// A hostile guest can report any stage and any status as often as it likes.
// That is what it may say of itself; each costs it an exit, and the device
// keeps none. The console's size is no secret.
package guestport

import "encoding/binary"

// A ConsoleInfo says what is at the other end of the guest's console.
type ConsoleInfo struct {
	Terminal      bool   // a person's terminal, not a file or a pipe
	Columns, Rows uint16 // its size in characters and lines, 0 if unknown
}

// A Port is the guest port. Its methods may be called from any goroutine.
type Port struct {
	mark    func(stage uint8)
	status  func(code uint8)
	console func() ConsoleInfo
}

// New returns a port that calls mark when the guest reaches a stage, status
// when it reports its exit status, and console when it asks for the console.
// They are called on the vCPU's thread with no lock held, and the guest waits
// for them.
func New(mark func(stage uint8), status func(code uint8), console func() ConsoleInfo) *Port {
	return &Port{mark: mark, status: status, console: console}
}

// Name implements devices.Device.
func (d *Port) Name() string { return "guestport" }

// ReadIO implements devices.Device. What cannot be read reads as 0. A size read
// byte by byte while the terminal is resized may mix the old and the new; a
// guest that cares reads it twice, or 16 bits at once.
func (d *Port) ReadIO(off uint64, p []byte) {
	regs := d.consoleRegs()
	for i := range p {
		p[i] = regs[(off+uint64(i))%Size]
	}
}

// consoleRegs returns all registers as they read now.
func (d *Port) consoleRegs() (regs [Size]byte) {
	c := d.console()
	if c.Terminal {
		regs[RegConsole] = ConsoleTerminal
	}
	binary.LittleEndian.PutUint16(regs[RegColumns:], c.Columns)
	binary.LittleEndian.PutUint16(regs[RegRows:], c.Rows)
	return regs
}

// WriteIO implements devices.Device. What cannot be written is ignored.
func (d *Port) WriteIO(off uint64, p []byte) {
	for i, v := range p {
		switch off + uint64(i) {
		case RegStage:
			d.mark(v)
		case RegStatus:
			d.status(v)
		}
	}
}
