package kvm

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// A VCPU is a virtual processor. Run has a thread of its own; Kick may be
// called from any other, and so may Stats. All other methods are for that thread, or
// for any one while Run is not running: KVM makes them wait for the end of KVM_RUN.
type VCPU struct {
	vm   *VM
	id   int
	fd   int
	page []byte // the run page: struct kvm_run and, behind it, KVM_EXIT_IO's data
	kick kick
	exit exits

	coalesced [maxMMIO]byte // what CoalescedWrite has returned

	stats    *os.File // nil if there are none,
	statsErr error    // for this reason
}

// newVCPU maps the run page of the vCPU behind fd.
func newVCPU(vm *VM, id, fd int) (*VCPU, error) {
	unix.CloseOnExec(fd)
	page, err := unix.Mmap(fd, 0, vm.mmapSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, &Error{Op: fmt.Sprintf("mmap of vCPU %d", id), Err: err}
	}
	c := &VCPU{vm: vm, id: id, fd: fd, page: page}
	c.kick.arm(page)
	c.openStats()
	return c, nil
}

// Close gives the vCPU back to the kernel. Run must have returned, for good.
// Kick may still be called.
func (c *VCPU) Close() error {
	if c.page == nil {
		return nil
	}
	c.kick.disarm()
	err := unix.Munmap(c.page)
	c.page = nil
	if err != nil {
		err = &Error{Op: "munmap", Err: err}
	}
	if c.stats != nil {
		err = errors.Join(err, c.stats.Close())
	}
	if closeErr := closeFD("vCPU", &c.fd); err == nil {
		err = closeErr
	}
	return c.about(err)
}

// about adds to an [*Error] which vCPU it was.
func (c *VCPU) about(err error) error { return about(err, fmt.Sprintf("vCPU %d", c.id)) }

// get performs r, which fills a T.
func get[T any](c *VCPU, r request) (T, error) {
	var t T
	_, err := ioctl(c.fd, r, &t)
	return t, c.about(err)
}

// set performs r, which reads a T.
func set[T any](c *VCPU, r request, t *T) error {
	_, err := ioctl(c.fd, r, t)
	return c.about(err)
}

// Regs returns the general registers.
func (c *VCPU) Regs() (Regs, error) { return get[Regs](c, reqGetRegs) }

// SetRegs sets the general registers. Pending exceptions are dropped.
func (c *VCPU) SetRegs(r *Regs) error { return set(c, reqSetRegs, r) }

// Sregs returns the special registers.
func (c *VCPU) Sregs() (Sregs, error) { return get[Sregs](c, reqGetSregs) }

// SetSregs sets the special registers. EINVAL means that they contradict one
// another, such as long mode without paging.
func (c *VCPU) SetSregs(s *Sregs) error { return set(c, reqSetSregs, s) }

// FPU returns the x87 and SSE registers.
func (c *VCPU) FPU() (FPU, error) { return get[FPU](c, reqGetFPU) }

// SetFPU sets the x87 and SSE registers.
func (c *VCPU) SetFPU(f *FPU) error { return set(c, reqSetFPU, f) }

// LAPIC returns the local APIC's registers.
func (c *VCPU) LAPIC() (LAPICState, error) { return get[LAPICState](c, reqGetLAPIC) }

// SetLAPIC sets the local APIC's registers.
func (c *VCPU) SetLAPIC(s *LAPICState) error { return set(c, reqSetLAPIC, s) }

// MPState returns what the vCPU is doing.
func (c *VCPU) MPState() (MPState, error) { return get[MPState](c, reqGetMPState) }

// SetMPState sets what the vCPU is doing.
func (c *VCPU) SetMPState(s MPState) error { return set(c, reqSetMPState, &s) }

// Events returns the exceptions and interrupts under way.
func (c *VCPU) Events() (Events, error) { return get[Events](c, reqGetVCPUEvents) }

// SetEvents sets the exceptions and interrupts under way.
func (c *VCPU) SetEvents(e *Events) error { return set(c, reqSetVCPUEvents, e) }

// DebugRegs returns the debug registers.
func (c *VCPU) DebugRegs() (DebugRegs, error) { return get[DebugRegs](c, reqGetDebugRegs) }

// SetDebugRegs sets the debug registers.
func (c *VCPU) SetDebugRegs(d *DebugRegs) error { return set(c, reqSetDebugRegs, d) }

// XCRs returns the extended control registers.
func (c *VCPU) XCRs() (XCRs, error) { return get[XCRs](c, reqGetXCRs) }

// SetXCRs sets the extended control registers.
func (c *VCPU) SetXCRs(x *XCRs) error { return set(c, reqSetXCRs, x) }

// SetGuestDebug asks for exits to a debugger, or with a zero Control for no
// more of them (kvm-api KVM_SET_GUEST_DEBUG).
func (c *VCPU) SetGuestDebug(d *GuestDebug) error { return set(c, reqSetGuestDebug, d) }

// Translate looks a linear address up in the guest's page tables (kvm-api
// KVM_TRANSLATE).
func (c *VCPU) Translate(linear uint64) (Translation, error) {
	t := Translation{Linear: linear}
	_, err := ioctl(c.fd, reqTranslate, &t)
	return t, c.about(err)
}

// TSCKHz returns the frequency of the guest's time stamp counter in kHz.
func (c *VCPU) TSCKHz() (int, error) {
	khz, err := ioctlValue(c.fd, reqGetTSCKHz, 0)
	return khz, c.about(err)
}

// SetTSCKHz sets it. Where the processor cannot scale (no CapTSCControl), only
// the host's own frequency is possible, or one that is close to it.
func (c *VCPU) SetTSCKHz(khz uint32) error { return c.do(reqSetTSCKHz, uint64(khz)) }

// KVMClockCtrl tells the guest that it was paused, so that its watchdogs do
// not bark. EINVAL means that the guest does not use kvmclock.
func (c *VCPU) KVMClockCtrl() error { return c.do(reqKVMClockCtrl, 0) }

// NMI queues a non-maskable interrupt.
func (c *VCPU) NMI() error { return c.do(reqNMI, 0) }

// SMI queues a system management interrupt (needs [CapX86SMM]).
func (c *VCPU) SMI() error { return c.do(reqSMI, 0) }

// do performs r with a plain number.
func (c *VCPU) do(r request, arg uint64) error {
	_, err := ioctlValue(c.fd, r, arg)
	return c.about(err)
}

// XSave returns the vCPU's extended state in the layout of the XSAVE
// instruction on this host (SDM 1 §13.4), 4096 bytes or what
// [CapXSave2] says, if more.
func (c *VCPU) XSave() ([]byte, error) {
	size, err := c.vm.Check(CapXSave2)
	if err != nil {
		return nil, err
	}
	r := reqGetXSave2
	if size == 0 { // before Linux 5.17
		r, size = reqGetXSave, len(xsaveArea{})
	}
	area := make([]byte, size)
	_, err = ioctl(c.fd, r, &area[0])
	return area, c.about(err)
}

// SetXSave sets the vCPU's extended state to what XSave returned.
func (c *VCPU) SetXSave(area []byte) error {
	size, err := c.vm.Check(CapXSave2)
	if err != nil {
		return err
	}
	if want := max(size, len(xsaveArea{})); len(area) != want {
		return fmt.Errorf("kvm: KVM_SET_XSAVE vCPU %d: %d bytes, want %d", c.id, len(area), want)
	}
	_, err = ioctl(c.fd, reqSetXSave, &area[0])
	return c.about(err)
}
