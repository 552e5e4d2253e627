package vmm

import (
	"microvm/boot/acpi"
	"microvm/devices/guestport"
	"microvm/devices/power"
	"microvm/devices/pvpanic"
	"microvm/devices/serial"
	"microvm/kvm/guestmem"
)

// acpiMachine describes to the guest what newBoard has built.
func (c *Config) acpiMachine() acpi.Machine {
	return acpi.Machine{
		CPUs:      c.CPUs,
		LocalAPIC: localAPICBase,
		IOAPIC:    ioapicBase,
		Power: acpi.Power{
			SleepControl: portPower + power.RegSleepControl,
			SleepStatus:  portPower + power.RegSleepStatus,
			SleepTypeS5:  power.SleepTypeS5,
			Reset:        portPower + power.RegReset,
			ResetValue:   power.ResetValue,
		},
		// The two chips are there for kernels that ask no table. To the
		// others they are of no use: kvmclock tells the time, and looking
		// for a keyboard takes a kernel up to half a second.
		I8042: false,
		CMOS:  false,
		Devices: []acpi.Device{
			{Name: "COM1", HID: "PNP0501", Resources: []acpi.Resource{
				acpi.IOPorts{Base: portCOM1, Len: serial.Size}, acpi.IRQ{GSI: gsiCOM1},
			}},
			{Name: "PEVT", HID: pvpanic.HID, Resources: []acpi.Resource{
				acpi.IOPorts{Base: portPVPanic, Len: pvpanic.Size},
			}},
			{Name: "GPRT", HID: guestport.HID, Resources: []acpi.Resource{
				acpi.IOPorts{Base: portGuest, Len: guestport.Size},
			}},
		},
	}
}

// writeACPI puts the tables into memory, and returns where their root is.
func (m *Machine) writeACPI() (rsdp guestmem.Addr, err error) {
	tables, rsdp, err := acpi.Build(m.config.acpiMachine(), acpiBase, acpiSize)
	if err != nil {
		return 0, err
	}
	_, err = m.mem.WriteAt(tables, int64(acpiBase))
	return rsdp, err
}
