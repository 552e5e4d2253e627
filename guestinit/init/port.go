package main

import (
	"os"
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
// a machine that has none, file is nil: marks go nowhere, and the console is
// taken for a terminal.
type guestPort struct {
	file *os.File // /dev/port, whose offsets are I/O ports
	base int64
}

// openGuestPort finds the port. It needs no more than proc, and /dev/port from
// the initramfs, so that the first mark comes before anything else is done.
func openGuestPort() guestPort {
	if err := procMount.create(); err != nil {
		say(procMount.String(), ": ", err.Error())
		return guestPort{}
	}
	ports, err := os.ReadFile("/proc/ioports")
	if err != nil {
		return guestPort{} // a kernel without I/O ports
	}
	base, found := findPort(string(ports), guestport.HID)
	if !found {
		return guestPort{}
	}
	// Not by os.OpenFile: it would ask the poller whether it can wait for
	// /dev/port, and start that for nothing.
	fd, err := unix.Open("/dev/port", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		say("/dev/port: ", err.Error())
		return guestPort{}
	}
	return guestPort{file: os.NewFile(uintptr(fd), "/dev/port"), base: base}
}

// findPort returns the first port of the device with this ACPI hardware ID in
// ioports, the text of /proc/ioports:
//
//	0510-0517 : MVMM0001:00
//
// Devices on a bridge are indented. Who is not root reads 0000-0000.
func findPort(ioports, hid string) (base int64, found bool) {
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
		return int64(base), true
	}
	return 0, false
}

// mark says that the guest has reached a stage.
func (p guestPort) mark(stage uint8) { p.write(guestport.RegStage, stage) }

// report says how the payload ended.
func (p guestPort) report(status uint8) { p.write(guestport.RegStatus, status) }

func (p guestPort) write(register int64, value uint8) {
	if p.file == nil {
		return
	}
	// The port takes any byte at any time.
	_, _ = p.file.WriteAt([]byte{value}, p.base+register)
}

// console asks what is at the other end of the console. Columns and rows are 0
// if the terminal's size is unknown.
func (p guestPort) console() (terminal bool, columns, rows uint16) {
	var regs [guestport.Size]byte
	if p.file == nil {
		return true, 0, 0
	}
	if _, err := p.file.ReadAt(regs[:], p.base); err != nil {
		return true, 0, 0
	}
	word := func(register int) uint16 { return uint16(regs[register]) | uint16(regs[register+1])<<8 }
	terminal = regs[guestport.RegConsole]&guestport.ConsoleTerminal != 0
	return terminal, word(guestport.RegColumns), word(guestport.RegRows)
}
