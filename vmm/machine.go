// Package vmm is the machine: it gives a guest its memory, vCPUs, devices and
// addresses, runs it, and says how it ended.
//
// # The life of a machine
//
//	New ── guest memory ──┬─ kernel, initrd, ACPI tables into memory (boot)
//	                      └─ VM, memory slots, irqchip, vCPUs        (kvm)
//	                                   │
//	Run ── one locked thread a vCPU ───┤ KVM_RUN, exit, bus, device, KVM_RUN …
//	       one goroutine for console   │
//	       output, one for input       │
//	                                   │ the first thing that ends the guest
//	                                   │ (a device, a vCPU, the user, a fault)
//	                                   ▼ becomes the Outcome; all vCPUs are kicked
//	Run returns when the last thread is back and the console is drained
//
// # Locks
//
// Devices have their own locks; they hold them when they set an interrupt line,
// and never when they end the machine. Nothing here is held while a vCPU is in
// KVM_RUN or a device at work.
package vmm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"microvm/boot"
	"microvm/devices/virtio/balloon"
	"microvm/devices/virtio/console"
	"microvm/devices/virtio/net"
	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// A Machine is a virtual machine for one life of a guest: New, Run once, Close.
type Machine struct {
	config Config
	mem    *guestmem.Memory
	system *kvm.System
	vm     *kvm.VM
	slots  uint32 // of memory, that vm has
	cpus   []*vcpu
	board  *board
	nets   []*net.Device
	vsock  *vsockDevice // nil if there is none
	kernel *boot.Kernel
	loaded *boot.Loaded

	balloon *balloon.Device // nil if there is none

	consoleCtx   context.Context // of the console's goroutines, while Run runs
	stopConsole  context.CancelFunc
	consoleAsked chan struct{} // gets one when the guest has asked what is at the console's other end
	consoleOut   *consoleOutput
	hvc          *console.Device // nil unless the console is ConsoleVirtio

	sizeMu        sync.Mutex
	columns, rows uint16 // of the console's terminal; guarded by sizeMu

	coalesced sync.Mutex // held by the vCPU that takes the writes that KVM has kept; before any lock of a device

	timeline timeline
	counters []*counters // one a vCPU

	endOnce sync.Once
	ended   chan struct{} // closed when outcome and err are set
	outcome Outcome
	err     error
}

// New builds the machine that c describes, up to the point where its vCPUs can
// run. What is wrong with c is a [*ConfigError] as far as it can be seen
// without opening a file.
func New(c Config) (_ *Machine, err error) {
	if c.Started.IsZero() {
		c.Started = time.Now()
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if c.Console.Kind == ConsoleOff {
		c.Console = Console{Kind: ConsoleOff}
	}
	m := &Machine{config: c, consoleAsked: make(chan struct{}, 1), ended: make(chan struct{})}
	m.columns, m.rows = c.Console.Columns, c.Console.Rows
	m.timeline.start = c.Started
	if c.Trace != nil {
		m.timeline.hook = c.Trace.Event
	}
	defer func() {
		if err != nil {
			m.Close()
		}
	}()
	if m.mem, err = guestmem.New(ramRanges(c.Memory)...); err != nil {
		return nil, err
	}
	m.consoleCtx, m.stopConsole = context.WithCancel(context.Background())
	m.consoleOut = &consoleOutput{ctx: m.consoleCtx, out: c.Console.Out}
	if m.board, err = newBoard(m); err != nil {
		return nil, err
	}
	if err = m.addVirtioDevices(); err != nil {
		return nil, err
	}

	// Creating a VM takes the host's kernel up to 40 ms (a cgroup with the
	// NX huge-page mitigation), during which the kernel image can be put in
	// place: the two share nothing but the memory's addresses.
	loading := make(chan error, 1)
	go func() { loading <- m.load() }()
	createErr := m.create()
	loadErr := <-loading
	if loadErr != nil { // the user's mistake more often than the host's
		return nil, loadErr
	}
	if createErr != nil {
		return nil, createErr
	}
	if err := m.cpus[0].enter(m.loaded); err != nil {
		return nil, err
	}
	if err := m.listenVsock(); err != nil {
		return nil, err
	}
	return m, nil
}

// load puts kernel, initrd, command line and ACPI tables into memory.
func (m *Machine) load() (err error) {
	rsdp, err := m.writeFirmware()
	if err != nil {
		return err
	}
	if m.kernel, err = boot.Open(m.config.Kernel); err != nil {
		return err
	}
	m.loaded, err = boot.Load(m.mem, boot.Config{
		Kernel:   m.kernel,
		Initrd:   m.config.Initrd,
		Cmdline:  m.config.Cmdline,
		Entry:    m.config.Entry,
		Reserved: firmwareRanges(),
		RSDP:     rsdp,
		CacheDir: m.config.CacheDir,
	})
	if err != nil {
		return err
	}
	m.timeline.add(Event{Name: EventLoaded})
	return nil
}

// create makes the VM and its vCPUs. Memory slots come before the interrupt
// controllers: the other order costs 7.5 ms a slot on a Linux 6.18 host, where
// the irqchip's routing makes each slot wait for an SRCU grace period.
func (m *Machine) create() (err error) {
	if m.system, err = kvm.Open(); err != nil {
		return err
	}
	if err := checkHost(m.system, m.config.CPUs); err != nil {
		return err
	}
	if m.vm, err = m.system.CreateVM(); err != nil {
		return err
	}
	if err := m.addSlots(m.mem); err != nil {
		return err
	}
	if err := m.showPages(); err != nil {
		return err
	}
	if err := m.vm.SetIdentityMapAddr(identityMapAddr); err != nil {
		return err
	}
	if err := m.vm.SetTSSAddr(tssAddr); err != nil {
		return err
	}
	if err := m.connectDoorbells(); err != nil {
		return err
	}
	if err := m.vm.CreateIRQChip(); err != nil {
		return err
	}
	if err := m.coalesceAcknowledgements(); err != nil {
		return err
	}
	if err := m.connectInterrupts(); err != nil {
		return err
	}
	// Port 0x61 belongs to the timer: a kernel without kvmclock measures its
	// TSC against channel 2, through the gate bit there.
	if err := m.vm.CreatePIT2(kvm.PITSpeakerDummy); err != nil {
		return err
	}
	features, err := m.hostFeatures()
	if err != nil {
		return err
	}
	for id := range m.config.CPUs {
		cpu, err := m.newVCPU(id, features)
		if err != nil {
			return err
		}
		m.cpus = append(m.cpus, cpu)
		m.counters = append(m.counters, cpu.counters)
	}
	m.timeline.add(Event{Name: EventVMCreated})
	return nil
}

// addSlots puts mem at its addresses in the guest's memory.
func (m *Machine) addSlots(mem *guestmem.Memory) error {
	for _, r := range mem.Ranges() {
		if err := m.setSlot(m.slots, 0, mem, r); err != nil {
			return err
		}
		m.slots++
	}
	return nil
}

// setSlot puts the range r of mem into the guest's memory, as KVM's memory slot of that
// number.
func (m *Machine) setSlot(slot uint32, flags kvm.SlotFlags, mem *guestmem.Memory, r guestmem.Range) error {
	host, err := mem.HostAddr(r)
	if err != nil {
		return err
	}
	return m.vm.SetUserMemoryRegion(kvm.MemoryRegion{
		Slot: slot, Flags: flags, GuestPhysAddr: uint64(r.Start), MemorySize: r.Size, UserspaceAddr: uint64(host),
	})
}

// end records how the guest ended; the first caller's word stands. It does not
// wait for the vCPUs to stop, so that a device may call it from one of them.
func (m *Machine) end(o Outcome, err error) {
	m.endOnce.Do(func() {
		o.Status = uint8(m.board.status.Load())
		m.outcome, m.err = o, err
		m.timeline.add(Event{Name: EventEnd, Exits: exitsSoFar(m.counters)})
		close(m.ended)
		for _, c := range m.cpus {
			_ = c.fd.Kick() // a closed vCPU, or one that never ran, needs none
		}
	})
}

// fail ends the guest because the host or the monitor failed.
func (m *Machine) fail(err error) {
	m.end(Outcome{End: EndFailure, Detail: err.Error()}, err)
}

// Run runs the guest until it ends, or until ctx is done, and returns when
// every thread and goroutine of the machine is back. The error, if any, says
// why the monitor failed; the Outcome holds in any case.
func (m *Machine) Run(ctx context.Context) (Outcome, error) {
	stopWatching := context.AfterFunc(ctx, func() {
		m.end(Outcome{End: EndStopped, Detail: context.Cause(ctx).Error()}, nil)
	})
	defer stopWatching()

	finishConsole := m.runConsole()
	var threads sync.WaitGroup
	for _, c := range m.cpus {
		threads.Go(c.run)
	}
	threads.Wait()
	m.stopVirtio()
	m.end(Outcome{End: EndFailure}, errors.New("vmm: every vCPU stopped without a reason")) // no effect if there was one
	if err := finishConsole(); err != nil && m.err == nil && m.outcome.End != EndStopped {
		m.outcome.End, m.outcome.Detail, m.err = EndFailure, err.Error(), err
	}
	return m.outcome, m.err
}

// Stats returns what the machine has done so far. While Run runs, a guest with a
// balloon has a second to say how it uses its memory.
func (m *Machine) Stats() Stats {
	m.refreshBalloon()
	s := Stats{
		Timeline: m.timeline.all(),
		GuestRAM: m.config.Memory,
		CPUs:     m.config.CPUs,
		Boot:     bootStats(m.loaded),
		KVM:      m.kvmCounts(),
		Console:  m.consoleCounts(),
		Virtio:   m.board.virtioStats(),
	}
	s.Exits, s.Accesses = sum(m.counters)
	select {
	case <-m.ended:
		s.Outcome = m.outcome
	default:
	}
	s.noNulls()
	return s
}

func bootStats(l *boot.Loaded) BootStats {
	s := BootStats{Entry: l.Entry, CacheHit: l.CacheHit, Phases: l.Phases}
	if l.CacheErr != nil {
		s.CacheError = l.CacheErr.Error()
	}
	for _, p := range append(slices.Clone(l.Kernel), l.Initrd) {
		if p.How == boot.Mapped {
			s.Mapped += p.Size
		} else {
			s.Copied += p.Size
		}
	}
	return s
}

// Close gives everything back to the host. Run must have returned, or never
// been called.
func (m *Machine) Close() error {
	if m.stopConsole != nil {
		m.stopConsole()
	}
	var errs []error
	for _, c := range m.cpus {
		errs = append(errs, c.fd.Close())
	}
	if m.board != nil {
		errs = append(errs, m.board.closeVirtio())
	}
	if m.vm != nil {
		errs = append(errs, m.vm.Close())
	}
	if m.system != nil {
		errs = append(errs, m.system.Close())
	}
	if m.kernel != nil {
		errs = append(errs, m.kernel.Close())
	}
	if m.mem != nil {
		errs = append(errs, m.mem.Close())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("vmm: close: %w", err)
	}
	return nil
}
