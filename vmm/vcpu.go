package vmm

import (
	"errors"
	"fmt"
	"runtime"
	"syscall"
	"time"

	"microvm/boot"
	"microvm/devices"
	"microvm/kvm"
)

// A vcpu is a virtual processor, and the thread that it runs on.
type vcpu struct {
	id       int
	m        *Machine
	fd       *kvm.VCPU
	counters *counters
	recent   recentExits
}

// newVCPU creates processor id with the features the guest is to see.
func (m *Machine) newVCPU(id int, f *hostFeatures) (*vcpu, error) {
	fd, err := m.vm.CreateVCPU(id)
	if err != nil {
		return nil, err
	}
	c := &vcpu{id: id, m: m, fd: fd, counters: newCounters()}
	if err := c.setUp(f); err != nil {
		fd.Close()
		return nil, err
	}
	return c, nil
}

// enter sets the registers to where the kernel begins. It is for the first
// processor; the others wait until the guest's kernel starts them by INIT and
// SIPI (SDM 3A §9.4), which KVM's local APICs deliver.
func (c *vcpu) enter(l *boot.Loaded) error {
	sregs, err := c.fd.Sregs()
	if err != nil {
		return err
	}
	l.ApplySregs(&sregs)
	if err := c.fd.SetSregs(&sregs); err != nil {
		return err
	}
	return c.fd.SetRegs(&l.Regs)
}

// run runs the processor on a thread of its own until the machine ends.
func (c *vcpu) run() {
	runtime.LockOSThread() // KVM wants one thread a vCPU: kvm-api §2
	defer runtime.UnlockOSThread()
	if c.id == 0 {
		c.m.timeline.add(Event{Name: EventFirstRun})
	}
	var slice devices.TimeSlice
	for {
		slice.Renew()
		exit, err := c.fd.Run()
		if err != nil {
			c.m.fail(c.runError(err))
			return
		}
		select {
		case <-c.m.ended:
			return
		default:
		}
		if !c.handle(exit) {
			return
		}
	}
}

// runError explains why KVM_RUN failed, where that is known.
func (c *vcpu) runError(err error) error {
	if errors.Is(err, syscall.EFAULT) {
		return fmt.Errorf("%w: guest memory cannot be read; was the kernel or initrd file truncated while the guest ran?", err)
	}
	return err
}

// handle counts, traces and answers one exit. It returns false when this
// processor is not to run again.
func (c *vcpu) handle(exit kvm.Exit) bool {
	if hook := c.m.config.Trace; hook != nil && hook.Exit != nil {
		hook.Exit(c.id, exit)
	}
	c.recent.add(exit)
	var began time.Time
	if c.m.config.TimeExits {
		began = time.Now()
	}
	again := c.answer(exit)
	var took time.Duration
	if c.m.config.TimeExits {
		took = time.Since(began)
	}
	c.counters.exit(exit.Reason().String(), took)
	return again
}

// answer does what the exit asks for.
func (c *vcpu) answer(exit kvm.Exit) bool {
	switch e := exit.(type) {
	case *kvm.IOExit:
		c.io(e)
	case *kvm.MMIOExit:
		c.deliverCoalesced()
		c.access(c.m.board.mmio, SpaceMMIO, e.Addr, e.Data, e.Write)
	case *kvm.InterruptedExit:
		// A kick without an end: nothing asked for it, go on.
	case *kvm.ShutdownExit:
		c.dies(EndTripleFault, "a fault while handling a double fault", "")
	case *kvm.InternalErrorExit:
		cause := ""
		if e.Suberror != kvm.InternalErrorEmulation {
			cause = "KVM failed in what it did for the guest, and not with its code"
		}
		c.dies(EndInternalError, e.String(), cause)
	case *kvm.FailEntryExit:
		c.dies(EndInternalError, e.String(), "the processor refused the registers that the guest was to run with")
	case *kvm.MemoryFaultExit:
		// The memory may be a file that was truncated. Reading it for a
		// diagnosis would end the monitor as well.
		c.m.fail(c.runError(fmt.Errorf("%v: %w", e, syscall.EFAULT)))
	case *kvm.SystemEventExit:
		return c.systemEvent(e)
	default:
		c.dies(EndInternalError, fmt.Sprintf("unexpected %v", e), causeUnknownExit)
	}
	select {
	case <-c.m.ended:
		return false
	default:
		return true
	}
}

// causeUnknownExit is why a guest cannot go on after an exit that answer does not
// know.
const causeUnknownExit = "this host's KVM asks for something that this monitor does not know"

// systemEvent ends the guest as KVM says it wants to (kvm-api
// KVM_EXIT_SYSTEM_EVENT).
func (c *vcpu) systemEvent(e *kvm.SystemEventExit) bool {
	switch e.Type {
	case kvm.SystemEventShutdown:
		c.m.end(Outcome{End: EndPoweredOff, Detail: "KVM_SYSTEM_EVENT_SHUTDOWN"}, nil)
	case kvm.SystemEventReset:
		c.m.end(Outcome{End: EndRebooted, Detail: "KVM_SYSTEM_EVENT_RESET"}, nil)
	case kvm.SystemEventCrash:
		c.m.end(Outcome{End: EndPanicked, Detail: "KVM_SYSTEM_EVENT_CRASH"}, nil)
	default:
		c.dies(EndInternalError, fmt.Sprintf("system event of unknown type %d", e.Type), causeUnknownExit)
	}
	return false
}

// io answers a port access. A string instruction arrives as one exit with
// Count accesses of Size bytes to the same port.
func (c *vcpu) io(e *kvm.IOExit) {
	for size := int(e.Size); len(e.Data) >= size; e.Data = e.Data[size:] {
		c.access(c.m.board.ports, SpacePort, uint64(e.Port), e.Data[:size], e.Out)
	}
}
