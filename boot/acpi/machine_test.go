package acpi_test

import (
	"testing"

	"microvm/boot/acpi"
	"microvm/kvm/guestmem"
)

const (
	testAt   guestmem.Addr = 0xe0000
	testRoom               = 0x20000
)

// testMachine is a machine with one device of each kind of resource, on ports
// and addresses that no code of this package knows.
func testMachine() acpi.Machine {
	return acpi.Machine{
		CPUs:      2,
		LocalAPIC: 0xfee00000,
		IOAPIC:    0xfec00000,
		Power:     acpi.Power{SleepControl: 0x600, SleepStatus: 0x601, SleepTypeS5: 5, Reset: 0x602, ResetValue: 1},
		Devices: []acpi.Device{
			{Name: "COM1", HID: "PNP0501", Resources: []acpi.Resource{
				acpi.IOPorts{Base: 0x3f8, Len: 8},
				acpi.IRQ{GSI: 4},
			}},
			{Name: "RTC0", HID: "PNP0B00", CID: []string{"PNP0B01"}, Resources: []acpi.Resource{
				acpi.IOPorts{Base: 0x70, Len: 2},
			}},
			{Name: "PVPC", HID: "QEMU0001", Resources: []acpi.Resource{
				acpi.IOPorts{Base: 0x505, Len: 1},
			}, Objects: []acpi.Object{{Name: "_STA", Value: acpi.Integer(0xf)}}},
			{Name: "V000", HID: "LNRO0005", UID: 0, Resources: virtioResources(0)},
			{Name: "V001", HID: "LNRO0005", UID: 1, Resources: virtioResources(1)},
			{Name: "PROP", HID: "MVMM0001", CID: []string{"MVMM0002", "PNP0C02"}, Objects: []acpi.Object{
				{Name: "_DSD", Value: acpi.Package{
					acpi.Buffer{0x14, 0xd8, 0xff, 0xda, 0xba, 0x6e, 0x8c, 0x4d, 0x8a, 0x91, 0xbc, 0x9b, 0xbf, 0x4a, 0xa3, 0x01},
					acpi.Package{acpi.Package{acpi.String("answer"), acpi.Integer(1 << 40)}},
				}},
			}},
		},
	}
}

// virtioResources are those of the nth of several virtio-mmio devices.
func virtioResources(n uint32) []acpi.Resource {
	return []acpi.Resource{
		acpi.Memory{Base: 0xd0000000 + guestmem.Addr(n)*0x1000, Len: 0x1000},
		acpi.IRQ{GSI: 5 + n, Level: true, Shared: true},
	}
}

// build builds the tables of m where a PC has them.
func build(t *testing.T, m acpi.Machine) []byte {
	t.Helper()
	tables, root, err := acpi.Build(m, testAt, testRoom)
	if err != nil {
		t.Fatal(err)
	}
	if root != testAt {
		t.Fatalf("RSDP at %v; want %v", root, testAt)
	}
	return tables
}
