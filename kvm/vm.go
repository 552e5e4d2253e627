package kvm

import (
	"fmt"
	"structs"
)

// A VM is a virtual machine: its memory slots, interrupt controllers and
// clock, and the maker of its vCPUs. Its methods may be called from any
// thread of the process that created it, but for Close.
type VM struct {
	fd       int
	mmapSize int // of System
}

// Close closes the VM. It lives on in the kernel until its last vCPU is
// closed too.
func (vm *VM) Close() error { return closeFD("VM", &vm.fd) }

// Check is [System.Check] asked of this VM, whose answer is the more exact one
// (kvm-api KVM_CHECK_EXTENSION).
func (vm *VM) Check(c Cap) (int, error) { return check(vm.fd, c) }

// enableCap is struct kvm_enable_cap.
type enableCap struct {
	_     structs.HostLayout
	Cap   Cap
	Flags uint32
	Args  [4]uint64
	_     [64]uint8
}

// EnableCap switches on a capability that is off at first. The meaning of
// args, at most four, depends on it (kvm-api KVM_ENABLE_CAP, §7).
func (vm *VM) EnableCap(c Cap, args ...uint64) error {
	e := enableCap{Cap: c}
	if copy(e.Args[:], args) < len(args) {
		return fmt.Errorf("kvm: KVM_ENABLE_CAP %v: %d arguments, at most %d are possible", c, len(args), len(e.Args))
	}
	_, err := ioctl(vm.fd, reqEnableCap, &e)
	return about(err, c)
}

// A MemoryRegion is a range of guest-physical addresses and the process's
// memory that stands for it (struct kvm_userspace_memory_region).
type MemoryRegion struct {
	_             structs.HostLayout
	Slot          uint32    // which of the VM's slots
	Flags         SlotFlags // what KVM does with it
	GuestPhysAddr uint64    // first address, a multiple of 4096
	MemorySize    uint64    // in bytes, a multiple of 4096; 0 deletes the slot
	UserspaceAddr uint64    // host address, a multiple of 4096; at best with the guest's address modulo 2 MiB
}

// SlotFlags say what KVM does with a memory slot.
type SlotFlags uint32

const (
	SlotLogDirtyPages SlotFlags = 1 << 0 // KVM_MEM_LOG_DIRTY_PAGES: note which pages are written
	SlotReadOnly      SlotFlags = 1 << 1 // KVM_MEM_READONLY: a write is an MMIO exit (CapReadOnlyMem)
)

// SetUserMemoryRegion adds, moves, re-flags or deletes the memory slot r.Slot
// (kvm-api KVM_SET_USER_MEMORY_REGION). The memory must stay mapped for as
// long as the slot is there. It is fast before CreateIRQChip and may wait for
// milliseconds after.
func (vm *VM) SetUserMemoryRegion(r MemoryRegion) error {
	_, err := ioctl(vm.fd, reqSetUserMemoryRegion, &r)
	return about(err, fmt.Sprintf("slot %d, %d bytes at %#x", r.Slot, r.MemorySize, r.GuestPhysAddr))
}

// SetTSSAddr names three pages of guest-physical addresses below 4 GiB, free
// of memory slots and devices, that KVM keeps a task state segment in for
// real mode on Intel processors that cannot run it (kvm-api
// KVM_SET_TSS_ADDR).
func (vm *VM) SetTSSAddr(addr uint64) error {
	_, err := ioctlValue(vm.fd, reqSetTSSAddr, addr)
	return about(err, fmt.Sprintf("%#x", addr))
}

// SetIdentityMapAddr names one page for the same processors, where KVM keeps
// a page table for guest code without paging (kvm-api
// KVM_SET_IDENTITY_MAP_ADDR). It must come before the first vCPU.
func (vm *VM) SetIdentityMapAddr(addr uint64) error {
	_, err := ioctl(vm.fd, reqSetIdentityMapAddr, &addr)
	return about(err, fmt.Sprintf("%#x", addr))
}

// CreateVCPU makes the vCPU with the given APIC ID. It begins in the state
// after a reset (SDM 3A §10.1.1): the first one ready to run, with CreateIRQChip
// the others waiting for an INIT and a start-up IPI. KVM delivers those only
// to a vCPU whose local APIC was set once after its creation, by SetLAPIC.
func (vm *VM) CreateVCPU(id int) (*VCPU, error) {
	fd, err := ioctlValue(vm.fd, reqCreateVCPU, uint64(id))
	if err != nil {
		return nil, about(err, id)
	}
	c, err := newVCPU(vm, id, fd)
	if err != nil {
		closeFD("vCPU", &fd)
		return nil, err
	}
	return c, nil
}
