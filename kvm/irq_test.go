package kvm

import (
	"encoding/binary"
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

// irqGuest sets up the first PIC for vectors from 0x20 on (Intel 8259A:
// initialisation command words 1-4), lets interrupts in and waits for them.
var irqGuest = []byte{
	0xb0, 0x11, 0xe6, 0x20, // mov al, 0x11; out 0x20, al: ICW1, edge-triggered, ICW4 follows
	0xb0, 0x20, 0xe6, 0x21, // mov al, 0x20; out 0x21, al: ICW2, vector of IRQ 0
	0xb0, 0x04, 0xe6, 0x21, // mov al, 0x04; out 0x21, al: ICW3, the second PIC is on IRQ 2
	0xb0, 0x01, 0xe6, 0x21, // mov al, 0x01; out 0x21, al: ICW4, x86 mode
	0xb0, 0x00, 0xe6, 0x21, // mov al, 0x00; out 0x21, al: OCW1, nothing masked
	0xe6, 0x80, // out 0x80, al: ready
	0xfb,       // sti
	0xf4,       // wait: hlt
	0xeb, 0xfd, // jmp wait
}

// irqHandler says that it was there, acknowledges the interrupt, and says so.
var irqHandler = []byte{
	0xe6, 0x81, // out 0x81, al
	0xb0, 0x20, 0xe6, 0x20, // mov al, 0x20; out 0x20, al: OCW2, end of interrupt
	0xe6, 0x82, // out 0x82, al
	0xcf, // iret
}

const (
	irqLine   = 5
	irqVector = 0x20 + irqLine
)

// eventFD returns a new eventfd that does not block.
func eventFD(t *testing.T) int {
	t.Helper()
	fd := must1(unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC))(t)
	t.Cleanup(func() { must(t, unix.Close(fd)) })
	return fd
}

// signal adds 1 to an eventfd.
func signal(t *testing.T, fd int) {
	t.Helper()
	_, err := unix.Write(fd, binary.NativeEndian.AppendUint64(nil, 1))
	must(t, err)
}

// count returns what was added to an eventfd since the last time.
func count(t *testing.T, fd int) uint64 {
	t.Helper()
	var b [8]byte
	_, err := unix.Read(fd, b[:])
	if errors.Is(err, unix.EAGAIN) {
		return 0
	}
	must(t, err)
	return binary.NativeEndian.Uint64(b[:])
}

// newIRQGuest returns a guest that is ready for interrupts.
func newIRQGuest(t *testing.T) *tiny {
	t.Helper()
	g := newTiny(t, irqGuest, (*VM).CreateIRQChip)
	g.handle(irqVector, irqHandler)
	g.out(0x80)
	return g
}

func TestSetIRQLine(t *testing.T) {
	g := newIRQGuest(t)
	for range 2 {
		must(t, g.vm.SetIRQLine(irqLine, true))
		must(t, g.vm.SetIRQLine(irqLine, false))
		g.out(0x81)
		g.out(0x82)
	}
}

func TestIRQFD(t *testing.T) {
	g := newIRQGuest(t)
	fd := eventFD(t)
	must(t, g.vm.IRQFD(irqLine, fd))
	for range 3 {
		signal(t, fd)
		g.out(0x81)
		g.out(0x82)
	}
	must(t, g.vm.RemoveIRQFD(irqLine, fd))
	signal(t, fd)
	if n := count(t, fd); n != 1 {
		t.Errorf("the eventfd counts %d after RemoveIRQFD: the kernel still reads it", n)
	}
}

func TestIRQFDResample(t *testing.T) {
	g := newTiny(t, append([]byte{
		0xba, 0xd0, 0x04, // mov dx, 0x4d0: ELCR of the first PIC
		0xb0, 1 << irqLine, // mov al, …
		0xee, // out dx, al: level-triggered
	}, irqGuest...), (*VM).CreateIRQChip)
	g.handle(irqVector, irqHandler)
	g.out(0x80)
	fd, resample := eventFD(t), eventFD(t)
	must(t, g.vm.IRQFDResample(irqLine, fd, resample))
	for range 2 {
		signal(t, fd)
		g.out(0x81)
		if n := count(t, resample); n != 0 {
			t.Errorf("resample counts %d before the guest acknowledged", n)
		}
		g.out(0x82)
		if n := count(t, resample); n != 1 {
			t.Errorf("resample counts %d after the guest acknowledged", n)
		}
	}
	must(t, g.vm.RemoveIRQFD(irqLine, fd))
}

// msiVector is sent to the APIC with ID 0 (SDM 3A §11.11).
const (
	msiVector  = 0x30
	msiAddress = 0xfee0_0000
)

// softwareEnable switches the local APIC on (SDM 3A §11.9).
func softwareEnable(t *testing.T, c *VCPU) {
	t.Helper()
	const spurious, enabled = 0xf0, 1 << 8
	apic := must1(c.LAPIC())(t)
	apic.SetReg(spurious, apic.Reg(spurious)|enabled)
	must(t, c.SetLAPIC(&apic))
}

func TestSignalMSI(t *testing.T) {
	g := newIRQGuest(t)
	m := MSI{Address: msiAddress, Data: msiVector}
	if must1(g.vm.SignalMSI(m))(t) {
		t.Error("delivered to an APIC that is off")
	}
	softwareEnable(t, g.cpu)
	g.handle(msiVector, irqHandler)
	if !must1(g.vm.SignalMSI(m))(t) {
		t.Error("not delivered")
	}
	g.out(0x81)
}

func TestGSIRouting(t *testing.T) {
	g := newIRQGuest(t)
	softwareEnable(t, g.cpu)
	g.handle(msiVector, irqHandler)
	const gsi = 40
	must(t, g.vm.SetGSIRouting([]IRQRoute{
		RouteToPin(irqLine, ChipPICMaster, irqLine),
		RouteToMSI(gsi, MSI{Address: msiAddress, Data: msiVector}),
	}))
	fd := eventFD(t)
	must(t, g.vm.IRQFD(gsi, fd))
	signal(t, fd)
	g.out(0x81)
}

func TestIOEventFD(t *testing.T) {
	const port = 0x90
	code := []byte{
		0xe6, port, // out port, al
		0xa2, 0x00, 0xa0, // mov [noRAM], al
		0xfe, 0xc0, // inc al
		0x3c, 0x03, // cmp al, 3
		0x75, 0xf5, // jne to the start
		0xe6, 0x80, // out 0x80, al
	}
	for _, tt := range []struct {
		name  string
		event IOEvent
		want  uint64   // events; the guest writes 0, 1 and 2
		exits []uint16 // to the port
	}{
		{"port", IOEvent{Port: true, Addr: port, Size: 1}, 3, nil},
		{"port of any size", IOEvent{Port: true, Addr: port}, 3, nil},
		{"port, one value", IOEvent{Port: true, Addr: port, Size: 1, Match: true, Value: 1}, 1, []uint16{port, port}},
		{"port, another size", IOEvent{Port: true, Addr: port, Size: 2}, 0, []uint16{port, port, port}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newTiny(t, code)
			tt.event.FD = eventFD(t)
			mmio := IOEvent{FD: eventFD(t), Addr: noRAM, Size: 1}
			must(t, g.vm.IOEventFD(tt.event))
			must(t, g.vm.IOEventFD(mmio))
			for _, port := range tt.exits {
				g.out(port)
			}
			g.out(0x80)
			if n := count(t, tt.event.FD); n != tt.want {
				t.Errorf("%d events, want %d", n, tt.want)
			}
			if n := count(t, mmio.FD); n != 3 {
				t.Errorf("%d events in memory, want 3", n)
			}
			must(t, g.vm.RemoveIOEventFD(tt.event))
			must(t, g.vm.RemoveIOEventFD(mmio))
			g.jump(codeAt)
			g.out(port)
			run[*MMIOExit](g)
		})
	}
}
