package main

import (
	"os"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/devices/guestport"
)

// The stages of a guest's start, as the monitor shows them in its timeline.
const (
	stageInit       = guestport.StageInit
	stageReady      = guestport.StageReady
	stagePayload    = guestport.StagePayload
	stagePayloadEnd = guestport.StagePayloadEnd
)

// A guestPort is the port by which the monitor hears of the guest's stages. On
// a machine that has none, marks go nowhere, and the console is taken for a
// terminal.
type guestPort struct {
	base  uint16 // its first I/O port
	found bool
}

// portVariable names the port's address on a machine whose ACPI tables do not
// know of it. The kernel makes init's environment of what it does not know on
// its command line, so that "guestport=0x610" there is enough.
const portVariable = "guestport"

// openGuestPort finds the port. It needs no more than procMount, so that the
// first mark comes before anything else is done.
func openGuestPort() guestPort {
	if base, err := strconv.ParseUint(os.Getenv(portVariable), 0, 16); err == nil {
		return guestPort{uint16(base), true}
	}
	ports, err := os.ReadFile("/proc/ioports")
	if err != nil {
		return guestPort{} // a kernel without I/O ports, or without proc
	}
	base, found := findPort(string(ports), guestport.HID)
	return guestPort{base, found}
}

// findPort returns the first port of the device with this ACPI hardware ID in
// ioports, the text of /proc/ioports:
//
//	0510-0517 : MVMM0001:00
//
// Devices on a bridge are indented. Who is not root reads 0000-0000.
func findPort(ioports, hid string) (base uint16, found bool) {
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

// mark says that the guest has reached a stage.
func (p guestPort) mark(stage uint8) { p.write(guestport.RegStage, stage) }

// report says how the payload ended.
func (p guestPort) report(status uint8) { p.write(guestport.RegStatus, status) }

func (p guestPort) write(register uint16, value uint8) {
	p.access(func() { outb(p.base+register, value) })
}

// access calls do with the right to use the port. The right is the thread's,
// and would be inherited by every process that it starts; so it does not last.
func (p guestPort) access(do func()) {
	if !p.found {
		return
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Ioperm(int(p.base), guestport.Size, 1); err != nil {
		say("guest port: ioperm: ", err.Error()) // a kernel that is locked down
		return
	}
	do()
	_ = unix.Ioperm(int(p.base), guestport.Size, 0)
}

// console asks what is at the other end of the console. Columns and rows are 0
// if the terminal's size is unknown.
func (p guestPort) console() (terminal bool, columns, rows uint16) {
	terminal = true
	p.access(func() {
		word := func(register uint16) uint16 {
			return uint16(inb(p.base+register)) | uint16(inb(p.base+register+1))<<8
		}
		terminal = inb(p.base+guestport.RegConsole)&guestport.ConsoleTerminal != 0
		columns, rows = word(guestport.RegColumns), word(guestport.RegRows)
	})
	return terminal, columns, rows
}

// outb writes value to an I/O port, and inb reads one.
//
// Preconditions: ioperm(2) has given this thread the right to.
func outb(port uint16, value uint8)
func inb(port uint16) (value uint8)
