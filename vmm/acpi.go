package vmm

import (
	"microvm/boot"
	"microvm/boot/acpi"
	"microvm/devices/guestport"
	"microvm/devices/power"
	"microvm/devices/pvpanic"
	"microvm/devices/serial"
	"microvm/kvm/guestmem"
)

// acpiPower is where the machine is turned off and reset.
var acpiPower = acpi.Power{
	SleepControl: portPower + power.RegSleepControl,
	SleepStatus:  portPower + power.RegSleepStatus,
	SleepTypeS5:  power.SleepTypeS5,
	Reset:        portPower + power.RegReset,
	ResetValue:   power.ResetValue,
}

// firmwareRanges is what a kernel must not take for free memory.
func firmwareRanges() []boot.Reserved {
	return []boot.Reserved{
		{Range: guestmem.Range{Start: acpiBase, Size: acpiSize}, Type: boot.E820ACPI},
		{Range: guestmem.Range{Start: biosPage, Size: guestmem.PageSize}, Type: boot.E820Reserved},
	}
}

// acpiMachine describes to the guest what newBoard has built.
func (m *Machine) acpiMachine() acpi.Machine {
	return acpi.Machine{
		CPUs:      m.config.CPUs,
		LocalAPIC: localAPICBase,
		IOAPIC:    ioapicBase,
		Power:     acpiPower,
		// The two chips are there for kernels that ask no table. To the
		// others they are of no use: kvmclock tells the time, and looking
		// for a keyboard takes a kernel up to half a second.
		I8042: false,
		CMOS:  false,
		Devices: append([]acpi.Device{
			{Name: "COM1", HID: "PNP0501", Resources: []acpi.Resource{
				acpi.IOPorts{Base: portCOM1, Len: serial.Size}, acpi.IRQ{GSI: gsiCOM1},
			}},
			{Name: "PEVT", HID: pvpanic.HID, Resources: []acpi.Resource{
				acpi.IOPorts{Base: portPVPanic, Len: pvpanic.Size},
			}},
			{Name: "GPRT", HID: guestport.HID, Resources: []acpi.Resource{
				acpi.IOPorts{Base: portGuest, Len: guestport.Size},
			}},
		}, m.board.acpiVirtio()...),
	}
}

// writeFirmware puts into memory what a PC has in its firmware: the tables,
// whose root's address it returns, and the code by which a kernel resets the
// machine that knows no better way. Linux takes that way on a hardware-reduced
// machine without EFI.
func (m *Machine) writeFirmware() (rsdp guestmem.Addr, err error) {
	tables, rsdp, err := acpi.Build(m.acpiMachine(), acpiBase, acpiSize)
	if err != nil {
		return 0, err
	}
	if _, err := m.mem.WriteAt(tables, int64(acpiBase)); err != nil {
		return 0, err
	}
	_, err = m.mem.WriteAt(acpi.ResetCode(acpiPower), int64(acpi.ResetVector))
	return rsdp, err
}
