package vmm

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"microvm/boot/acpi"
	"microvm/devices/eventfd"
	"microvm/devices/virtio"
	"microvm/devices/virtio/console"
	"microvm/devices/virtio/rng"
	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// A virtioSlot is a place on the board for a virtio device, with its address and
// its interrupt.
type virtioSlot struct {
	*virtio.MMIO
	device virtio.Device // behind MMIO
	base   guestmem.Addr
	gsi    uint32
	irq    eventfd.FD       // a write to it is an edge on gsi
	page   *guestmem.Memory // what the guest can read at base without an exit; nil if each read is one
	slot   uint32           // of KVM's memory slots, for page

	kernel atomic.Bool // the host's kernel may write to irq
	pulse  sync.Mutex  // held while gsi is high: another edge would be lost meanwhile
}

// addVirtioDevices puts the devices that the configuration asks for on the board,
// in the order in which a guest is to find them.
func (m *Machine) addVirtioDevices() (err error) {
	if m.config.Console.Kind == ConsoleVirtio { // first, so that the guest has it early
		if m.hvc, err = console.New(m.config.Console.Ports...); err != nil {
			return err
		}
		m.hvc.Resize(m.config.Console.Columns, m.config.Console.Rows)
		if err := m.addVirtio("console", m.hvc); err != nil {
			return err
		}
	}
	if err := m.addDisks(); err != nil {
		return err
	}
	if m.config.RNG {
		if err := m.addVirtio("rng", rng.New()); err != nil {
			return err
		}
	}
	if err := m.addNets(); err != nil {
		return err
	}
	if err := m.addVsock(); err != nil {
		return err
	}
	return m.addBalloon()
}

// addVirtio puts dev into the next slot. If it is an io.Closer it is closed with
// the machine, or here if there is no place for it.
func (m *Machine) addVirtio(name string, dev virtio.Device) (err error) {
	defer func() {
		if c, ok := dev.(io.Closer); ok && err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	n := len(m.board.virtio)
	if n == len(virtioGSIs) {
		return fmt.Errorf("vmm: no interrupt is left for %s: a machine has at most %d virtio devices", name, len(virtioGSIs))
	}
	irq, err := eventfd.New()
	if err != nil {
		return err
	}
	s := &virtioSlot{device: dev, base: virtioBase + guestmem.Addr(n)*virtioStride, gsi: virtioGSIs[n], irq: irq}
	o := virtio.Options{
		Name: name, Memory: m.mem, Packed: m.config.PackedRings,
		Interrupt: m.interrupter(s), KernelInterrupts: s.kernelInterrupts, Fail: m.fail,
	}
	if hook := m.config.Trace; hook != nil && hook.Virtio != nil {
		o.Trace = hook.Virtio(name)
	}
	if !m.config.Trace.seesExits() {
		if o.Page, err = m.addPage(s); err != nil {
			return errors.Join(err, irq.Close())
		}
	}
	if s.MMIO, err = virtio.NewMMIO(dev, o); err != nil {
		return errors.Join(err, s.closePage(), irq.Close())
	}
	m.board.virtio = append(m.board.virtio, s)
	return m.board.mmio.Add(s.MMIO, uint64(s.base), virtio.Size)
}

// addPage makes the memory from which the guest reads the registers of s.
func (m *Machine) addPage(s *virtioSlot) (_ *virtio.Page, err error) {
	r := guestmem.Range{Start: s.base, Size: virtio.PageSize}
	if s.page, err = guestmem.New(r); err != nil {
		return nil, err
	}
	memory, err := s.page.Slice(r.Start, r.Size)
	if err != nil {
		return nil, err
	}
	return &virtio.Page{Memory: memory, Map: func(mapped bool) error {
		if !mapped {
			return m.vm.SetUserMemoryRegion(kvm.MemoryRegion{Slot: s.slot}) // of no size: none
		}
		return m.setSlot(s.slot, kvm.SlotReadOnly, s.page, r)
	}}, nil
}

func (s *virtioSlot) closePage() error {
	if s.page == nil {
		return nil
	}
	return s.page.Close()
}

// showPages has the guest read the pages of registers: reads then have no exit, and so
// has an interrupt none; writes have theirs as before. A KVM that cannot have memory
// that is read-only makes an exit of each read.
func (m *Machine) showPages() error {
	if n, err := m.system.Check(kvm.CapReadOnlyMem); n == 0 || err != nil {
		return err
	}
	for _, s := range m.board.virtio {
		s.slot = m.slots
		m.slots++
		s.ShowPage()
	}
	return nil
}

// interrupter returns the function by which a device in s interrupts the guest: an
// edge on its line. It is made by system calls, and not by irq, whose edge KVM leaves
// to a worker thread of the host's kernel where it goes to a pin of the I/O APIC
// (linux virt/kvm/eventfd.c, irqfd_wakeup): two switches between threads that a
// guest waits for.
func (m *Machine) interrupter(s *virtioSlot) func() error {
	pin := m.line(s.gsi)
	return func() error {
		if s.kernel.Load() {
			return s.irq.Signal() // the kernel's edges do not take pulse
		}
		s.pulse.Lock()
		defer s.pulse.Unlock()
		if err := pin.Set(true); err != nil {
			return err
		}
		return pin.Set(false)
	}
}

// kernelInterrupts is the eventfd by which the host's kernel interrupts the guest in
// the place of the device in s.
func (s *virtioSlot) kernelInterrupts() int {
	s.kernel.Store(true)
	return s.irq.Int()
}

// connectDoorbells makes KVM wake the devices when the guest notifies them,
// without an exit. It comes before the interrupt controllers, as the memory
// slots do and for the same reason.
func (m *Machine) connectDoorbells() error {
	for _, s := range m.board.virtio {
		for _, bell := range s.Doorbells() {
			err := m.vm.IOEventFD(kvm.IOEvent{
				FD: bell.FD, Addr: uint64(s.base) + virtio.RegQueueNotify, Size: virtio.RegQueueNotifySize,
				Match: true, Value: uint64(bell.Queue),
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// coalesceAcknowledgements makes KVM keep the drivers' acknowledgements of
// interrupts until the next exit for a register, which halves the exits of an
// interrupt. They are of no use to a device before that.
func (m *Machine) coalesceAcknowledgements() error {
	if n, err := m.system.Check(kvm.CapCoalescedMMIO); n == 0 || err != nil {
		return err
	}
	for _, s := range m.board.virtio {
		if err := m.vm.CoalesceMMIO(uint64(s.base)+virtio.RegInterruptACK, virtio.RegInterruptACKSize); err != nil {
			return err
		}
	}
	return nil
}

// deliverCoalesced gives the devices the writes that KVM has kept, in their
// order and before whatever comes next.
func (c *vcpu) deliverCoalesced() {
	c.m.coalesced.Lock()
	defer c.m.coalesced.Unlock()
	for {
		addr, data, ok := c.fd.CoalescedWrite()
		if !ok {
			return
		}
		c.perform(c.m.board.mmio, SpaceMMIO, addr, data, true)
	}
}

// connectInterrupts makes KVM interrupt the guest when a carrier in the host's kernel
// asks for it, in a device's place. The lines are edge-triggered: InterruptStatus
// keeps the reasons, and a driver that reads it after the edge sees all that came
// before.
func (m *Machine) connectInterrupts() error {
	for _, s := range m.board.virtio {
		if err := m.vm.IRQFD(s.gsi, s.irq.Int()); err != nil {
			return err
		}
	}
	return nil
}

// stopVirtio ends the devices' sessions, when no vCPU runs any more.
func (m *Machine) stopVirtio() {
	for _, s := range m.board.virtio {
		s.Stop()
	}
}

// closeVirtio gives back what the devices have of the host's.
func (b *board) closeVirtio() error {
	var errs []error
	for _, s := range b.virtio {
		s.Stop()
		errs = append(errs, s.MMIO.Close(), s.closePage(), s.irq.Close())
		if c, ok := s.device.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// acpiVirtio describes the devices to the guest.
func (b *board) acpiVirtio() []acpi.Device {
	var devices []acpi.Device
	for i, s := range b.virtio {
		devices = append(devices, acpi.Device{
			Name: fmt.Sprintf("VR%02d", i), HID: virtio.HID, UID: uint32(i),
			Resources: []acpi.Resource{acpi.Memory{Base: s.base, Len: virtio.Size}, acpi.IRQ{GSI: s.gsi}},
		})
	}
	return devices
}

// virtioStats is what the devices have done.
func (b *board) virtioStats() (stats []virtio.Stats) {
	for _, s := range b.virtio {
		stats = append(stats, s.Stats())
	}
	return stats
}
