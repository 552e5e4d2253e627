package kvm

import (
	"fmt"
	"structs"
)

// irqfd is struct kvm_irqfd.
type irqfd struct {
	_          structs.HostLayout
	FD         uint32
	GSI        uint32
	Flags      uint32
	ResampleFD uint32
	_          [16]uint8
}

const (
	irqfdDeassign = 1 << 0 // KVM_IRQFD_FLAG_DEASSIGN
	irqfdResample = 1 << 1 // KVM_IRQFD_FLAG_RESAMPLE
)

// IRQFD makes each write to the eventfd fd an edge-triggered interrupt on gsi,
// delivered by the kernel whoever writes (kvm-api KVM_IRQFD).
func (vm *VM) IRQFD(gsi uint32, fd int) error {
	return vm.irqfd(irqfd{FD: uint32(fd), GSI: gsi})
}

// IRQFDResample is IRQFD for a level-triggered interrupt: a write to fd drives
// the line high; when the guest acknowledges the interrupt, KVM drives it low
// and signals the eventfd resample, whose owner writes to fd again if the
// device still has a reason (needs [CapIRQFDResample]).
func (vm *VM) IRQFDResample(gsi uint32, fd, resample int) error {
	return vm.irqfd(irqfd{FD: uint32(fd), GSI: gsi, Flags: irqfdResample, ResampleFD: uint32(resample)})
}

// RemoveIRQFD undoes IRQFD or IRQFDResample. When it returns, nobody in the
// kernel uses fd for gsi any more.
func (vm *VM) RemoveIRQFD(gsi uint32, fd int) error {
	return vm.irqfd(irqfd{FD: uint32(fd), GSI: gsi, Flags: irqfdDeassign})
}

func (vm *VM) irqfd(f irqfd) error {
	_, err := ioctl(vm.fd, reqIRQFD, &f)
	return about(err, fmt.Sprintf("GSI %d", f.GSI))
}

// An IOEvent is a guest's write that signals an eventfd in the kernel, in the
// place of an exit.
type IOEvent struct {
	FD    int    // the eventfd, to which each such write adds 1
	Port  bool   // Addr is an I/O port, not a guest-physical address
	Addr  uint64 // the address written to
	Size  uint32 // of the write in bytes: 1, 2, 4 or 8; or 0 for any, which is faster for memory
	Match bool   // only a write of Value counts, others exit; Size must not be 0
	Value uint64
}

// ioeventfd is struct kvm_ioeventfd.
type ioeventfd struct {
	_         structs.HostLayout
	DataMatch uint64
	Addr      uint64
	Len       uint32
	FD        int32
	Flags     uint32
	_         [36]uint8
}

const (
	ioeventfdDataMatch = 1 << 0 // KVM_IOEVENTFD_FLAG_DATAMATCH
	ioeventfdPIO       = 1 << 1 // KVM_IOEVENTFD_FLAG_PIO
	ioeventfdDeassign  = 1 << 2 // KVM_IOEVENTFD_FLAG_DEASSIGN
)

// IOEventFD installs e (kvm-api KVM_IOEVENTFD).
func (vm *VM) IOEventFD(e IOEvent) error { return vm.ioeventfd(e, 0) }

// RemoveIOEventFD undoes IOEventFD for the same e. When it returns, nobody in
// the kernel uses e.FD for it any more.
func (vm *VM) RemoveIOEventFD(e IOEvent) error { return vm.ioeventfd(e, ioeventfdDeassign) }

func (vm *VM) ioeventfd(e IOEvent, flags uint32) error {
	w := ioeventfd{Addr: e.Addr, Len: e.Size, FD: int32(e.FD), Flags: flags}
	if e.Port {
		w.Flags |= ioeventfdPIO
	}
	if e.Match {
		w.Flags |= ioeventfdDataMatch
		w.DataMatch = e.Value
	}
	_, err := ioctl(vm.fd, reqIOEventFD, &w)
	return about(err, fmt.Sprintf("%#x", e.Addr))
}
