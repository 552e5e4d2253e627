package vmm

import (
	"errors"
	"sync/atomic"
	"time"

	"microvm/devices"
	"microvm/devices/cmos"
	"microvm/devices/guestport"
	"microvm/devices/i8042"
	"microvm/devices/pcihost"
	"microvm/devices/power"
	"microvm/devices/pvpanic"
	"microvm/devices/serial"
)

// A board is everything on the machine's buses.
type board struct {
	ports  *devices.Bus
	mmio   *devices.Bus
	com1   *serial.UART
	virtio []*virtioSlot
	status atomic.Uint32 // the exit status that the guest has reported
}

// newBoard puts the devices on their buses, wired to m. It fails only if
// layout.go gives an address twice.
func newBoard(m *Machine) (*board, error) {
	b := &board{ports: devices.NewBus("I/O port"), mmio: devices.NewBus("MMIO")}
	b.com1 = serial.New("com1", m.line(gsiCOM1), m.consoleOut)
	reset := func(by string) func() {
		return func() { m.end(Outcome{End: EndRebooted, Detail: by}, nil) }
	}
	powerOff := func() { m.end(Outcome{End: EndPoweredOff}, nil) }
	panicked := func(e pvpanic.Event) {
		// A guest that has a crash kernel goes on in it, and ends later.
		if e&pvpanic.Panicked != 0 {
			m.end(Outcome{End: EndPanicked}, nil)
		}
	}
	err := errors.Join(
		b.ports.Add(i8042.New(reset("keyboard controller")), portI8042, i8042.Size),
		b.ports.Add(cmos.New(time.Now, m.config.Memory), portCMOS, cmos.Size),
		b.ports.Add(b.com1, portCOM1, serial.Size),
		b.ports.Add(pvpanic.New(panicked), portPVPanic, pvpanic.Size),
		b.ports.Add(power.New(powerOff, reset("reset register")), portPower, power.Size),
		b.ports.Add(pcihost.New(), portPCI, pcihost.Size),
		b.ports.Add(guestport.New(m.mark, b.setStatus, m.consoleInfo), portGuest, guestport.Size),
	)
	return b, err
}

func (b *board) setStatus(code uint8) { b.status.Store(uint32(code)) }

// mark puts a stage that the guest has reached on the timeline.
func (m *Machine) mark(stage uint8) {
	m.timeline.add(Event{Name: EventMark, Stage: int(stage), Exits: exitsSoFar(m.counters)})
}

// A line is an input of KVM's interrupt controllers.
type line struct {
	m   *Machine
	gsi uint32
}

func (m *Machine) line(gsi uint32) devices.Line { return line{m, gsi} }

// Set implements devices.Line. It takes effect at once: a vCPU that is in the
// guest is interrupted, one that has halted wakes up.
func (l line) Set(high bool) error {
	if hook := l.m.config.Trace; hook != nil && hook.Interrupt != nil {
		hook.Interrupt(l.gsi, high)
	}
	return l.m.vm.SetIRQLine(l.gsi, high)
}

// noDevice names, in counts and traces, what answers where no device does.
const noDevice = "none"

// access reads or writes one register for a vCPU, and counts and traces it.
func (c *vcpu) access(bus *devices.Bus, space Space, addr uint64, data []byte, write bool) {
	name, offset := c.perform(bus, space, addr, data, write)
	c.counters.access(accessKey{space: space, addr: addr, write: write}, name, offset, uint64(len(data)))
}

// perform reads or writes one register, and traces it.
func (c *vcpu) perform(bus *devices.Bus, space Space, addr uint64, data []byte, write bool) (name string, offset uint64) {
	var dev devices.Device
	if write {
		dev = bus.Write(addr, data)
	} else {
		dev = bus.Read(addr, data)
	}
	name = noDevice
	if dev != nil {
		name = dev.Name()
		_, offset = bus.Find(addr, uint64(len(data)))
	}
	if hook := c.m.config.Trace; hook != nil && hook.Access != nil {
		hook.Access(c.id, Access{
			Device: name, Space: space, Addr: addr, Offset: offset, Write: write, Count: 1, Bytes: uint64(len(data)),
		}, data)
	}
	return name, offset
}
