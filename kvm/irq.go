package kvm

import (
	"fmt"
	"structs"
)

// CreateIRQChip gives the VM a PC's interrupt controllers, in the kernel: two
// 8259 PICs at their ports, an I/O APIC with 24 inputs at 0xfec00000, and a
// local APIC in each vCPU at 0xfee00000. It must come before the first vCPU
// (kvm-api KVM_CREATE_IRQCHIP).
//
// Interrupt lines are then numbered by GSI: 0-15 go to the PICs and the I/O
// APIC, 16-23 to the I/O APIC alone, until SetGSIRouting says otherwise.
func (vm *VM) CreateIRQChip() error {
	_, err := ioctlValue(vm.fd, reqCreateIRQChip, 0)
	return err
}

// irqLevel is struct kvm_irq_level.
type irqLevel struct {
	_     structs.HostLayout
	IRQ   uint32
	Level uint32
}

// SetIRQLine drives interrupt line gsi to its high or low level. A
// level-triggered interrupt stays asserted until it is driven low; an
// edge-triggered one happens at the rise (kvm-api KVM_IRQ_LINE).
func (vm *VM) SetIRQLine(gsi uint32, high bool) error {
	l := irqLevel{IRQ: gsi}
	if high {
		l.Level = 1
	}
	_, err := ioctl(vm.fd, reqIRQLine, &l)
	return about(err, fmt.Sprintf("GSI %d", gsi))
}

// The interrupt controllers of [CreateIRQChip], for routes and state.
const (
	ChipPICMaster = 0 // KVM_IRQCHIP_PIC_MASTER: pins are IRQ 0-7
	ChipPICSlave  = 1 // KVM_IRQCHIP_PIC_SLAVE: pins are IRQ 8-15
	ChipIOAPIC    = 2 // KVM_IRQCHIP_IOAPIC: pins 0-23
)

// An IRQRoute says where the interrupts of a GSI go (struct
// kvm_irq_routing_entry). Make one with [RouteToPin] or [RouteToMSI].
type IRQRoute struct {
	_     structs.HostLayout
	GSI   uint32
	kind  uint32
	flags uint32
	_     uint32
	to    [8]uint32 // the header's union u
}

const (
	routeToPin = 1 // KVM_IRQ_ROUTING_IRQCHIP
	routeToMSI = 2 // KVM_IRQ_ROUTING_MSI
)

// RouteToPin returns a route from gsi to a pin of a chip (ChipPICMaster, …).
func RouteToPin(gsi, chip, pin uint32) IRQRoute {
	return IRQRoute{GSI: gsi, kind: routeToPin, to: [8]uint32{chip, pin}}
}

// RouteToMSI returns a route from gsi to a message-signalled interrupt.
func RouteToMSI(gsi uint32, m MSI) IRQRoute {
	return IRQRoute{GSI: gsi, kind: routeToMSI, to: [8]uint32{uint32(m.Address), uint32(m.Address >> 32), m.Data}}
}

// SetGSIRouting replaces all routes, those that CreateIRQChip made included. A
// GSI may have several. It waits for every user of the old ones, which can
// take milliseconds (kvm-api KVM_SET_GSI_ROUTING).
func (vm *VM) SetGSIRouting(routes []IRQRoute) error {
	c := newCountedOf(routes)
	_, err := ioctl(vm.fd, reqSetGSIRouting, c.header)
	return about(err, fmt.Sprintf("%d routes", len(routes)))
}

// An MSI is a message-signalled interrupt: the memory write that a PCI device
// makes in the place of driving a line (SDM 3A §11.11).
type MSI struct {
	Address uint64 // 0xfee00000 and the destination
	Data    uint32 // vector, delivery mode, trigger mode
}

// msi is struct kvm_msi.
type msi struct {
	_         structs.HostLayout
	AddressLo uint32
	AddressHi uint32
	Data      uint32
	Flags     uint32
	DevID     uint32
	_         [12]uint8
}

// SignalMSI delivers m now. It reports false if the guest blocks it (kvm-api
// KVM_SIGNAL_MSI).
func (vm *VM) SignalMSI(m MSI) (delivered bool, err error) {
	w := msi{AddressLo: uint32(m.Address), AddressHi: uint32(m.Address >> 32), Data: m.Data}
	n, err := ioctl(vm.fd, reqSignalMSI, &w)
	return n > 0, err
}

// IRQChipState is the state of one interrupt controller (struct kvm_irqchip).
// Data is laid out as the header's union chip.
type IRQChipState struct {
	_      structs.HostLayout
	ChipID uint32 // ChipPICMaster, …
	_      uint32
	Data   [512]uint8
}

// IRQChip returns the state of a chip (ChipPICMaster, …).
func (vm *VM) IRQChip(chip uint32) (IRQChipState, error) {
	s := IRQChipState{ChipID: chip}
	_, err := ioctl(vm.fd, reqGetIRQChip, &s)
	return s, about(err, fmt.Sprintf("chip %d", chip))
}

// SetIRQChip sets the state of chip s.ChipID.
func (vm *VM) SetIRQChip(s *IRQChipState) error {
	_, err := ioctl(vm.fd, reqSetIRQChip, s)
	return about(err, fmt.Sprintf("chip %d", s.ChipID))
}
