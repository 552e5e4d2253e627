// Package port is the guest's end of devices/guestport: how programs in a guest
// tell the monitor what they have reached.
package port

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/devices/guestport"
)

// A Port is the port by which the monitor hears of the guest's stages. The zero
// Port is that of a machine that has none: what is written to it goes nowhere.
type Port struct {
	base  uint16 // its first I/O port
	found bool
}

// Variable names the port's address on a machine whose ACPI tables do not know
// of it. The kernel makes process 1's environment of what it does not know on
// its command line, so that "guestport=0x610" there is enough.
const Variable = "guestport"

// Open finds the port. It needs nothing but /proc, so that the first mark can
// come before anything else is done.
func Open() Port {
	if base, err := strconv.ParseUint(os.Getenv(Variable), 0, 16); err == nil {
		return Port{uint16(base), true}
	}
	ports, err := os.ReadFile("/proc/ioports")
	if err != nil {
		return Port{} // a kernel without I/O ports, or without proc
	}
	base, found := find(string(ports), guestport.HID)
	return Port{base, found}
}

// find returns the first port of the device with this ACPI hardware ID in
// ioports, the text of /proc/ioports:
//
//	0510-0517 : MVMM0001:00
//
// Devices on a bridge are indented. Who is not root reads 0000-0000.
func find(ioports, hid string) (base uint16, found bool) {
	for line := range strings.Lines(ioports) {
		ports, owner, _ := strings.Cut(strings.TrimSpace(line), " : ")
		if !strings.HasPrefix(owner, hid+":") {
			continue
		}
		first, last, _ := strings.Cut(ports, "-")
		base, err := strconv.ParseUint(first, 16, 16)
		if err != nil || first == last {
			return 0, false
		}
		return uint16(base), true
	}
	return 0, false
}

// Found reports whether the machine has the port.
func (p Port) Found() bool { return p.found }

// Mark says that the guest has reached a stage. It fails, as all here, where a
// kernel that is locked down or a container of the guest's denies the port.
func (p Port) Mark(stage uint8) error { return p.write(guestport.RegStage, stage) }

// Report says how the payload ended.
func (p Port) Report(status uint8) error { return p.write(guestport.RegStatus, status) }

func (p Port) write(register uint16, value uint8) error {
	return p.access(func() { outb(p.base+register, value) })
}

// Console asks what is at the other end of the console. Where nobody answers
// that is a terminal. Columns and rows are 0 if its size is unknown.
func (p Port) Console() (terminal bool, columns, rows uint16, err error) {
	terminal = true
	err = p.access(func() {
		word := func(register uint16) uint16 {
			return uint16(inb(p.base+register)) | uint16(inb(p.base+register+1))<<8
		}
		terminal = inb(p.base+guestport.RegConsole)&guestport.ConsoleTerminal != 0
		columns, rows = word(guestport.RegColumns), word(guestport.RegRows)
	})
	return terminal, columns, rows, err
}

// access calls do with the right to use the port. The right is the thread's,
// and would be inherited by every process that it starts; so it does not last.
func (p Port) access(do func()) error {
	if !p.found {
		return nil
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Ioperm(int(p.base), guestport.Size, 1); err != nil {
		return os.NewSyscallError("ioperm", err)
	}
	do()
	return os.NewSyscallError("ioperm", unix.Ioperm(int(p.base), guestport.Size, 0))
}

// outb writes value to an I/O port, and inb reads one.
//
// Preconditions: ioperm(2) has given this thread the right to.
func outb(port uint16, value uint8)
func inb(port uint16) (value uint8)
