package acpi_test

import (
	"bytes"
	"slices"
	"testing"

	"microvm/boot/acpi"
)

// TestFADT holds every byte of the FADT that is not 0 against the offsets and
// values of ACPI 6.5 table 5.9, and every other against 0.
func TestFADT(t *testing.T) {
	tables, err := walk(build(t, testMachine()), testAt)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 276)
	set := func(off int, b ...byte) { copy(want[off:], b) }
	copy(want, tables["FACP"][:36])
	set(109, 0x24, 0x00)                               // IAPC_BOOT_ARCH: VGA Not Present, CMOS RTC Not Present
	set(112, 0x31, 0x04, 0x10, 0x00)                   // WBINVD, PWR_BUTTON, SLP_BUTTON, RESET_REG_SUP, HW_REDUCED_ACPI
	set(116, 1, 8, 0, 1, 0x02, 0x06, 0, 0, 0, 0, 0, 0) // RESET_REG: I/O, 8 bits, byte access, 0x602
	set(128, 1)                                        // RESET_VALUE
	set(131, 5)                                        // FADT minor version
	set(140, tables["FACP"][140:148]...)               // X_DSDT, which walk followed
	set(244, 1, 8, 0, 1, 0x00, 0x06, 0, 0, 0, 0, 0, 0) // SLEEP_CONTROL_REG
	set(256, 1, 8, 0, 1, 0x01, 0x06, 0, 0, 0, 0, 0, 0) // SLEEP_STATUS_REG
	set(268, 'M', 'I', 'C', 'R', 'O', 'V', 'M', 0)     // Hypervisor Vendor Identity
	for i, c := range tables["FACP"] {
		if c != want[i] {
			t.Errorf("FADT: byte %d is %#x; want %#x", i, c, want[i])
		}
	}
}

// TestBootArch holds what the machine has against IAPC_BOOT_ARCH.
func TestBootArch(t *testing.T) {
	for _, c := range []struct {
		i8042, cmos bool
		want        uint16
	}{
		{false, false, 0x24},
		{true, false, 0x26},
		{false, true, 0x04},
		{true, true, 0x06},
	} {
		m := testMachine()
		m.I8042, m.CMOS = c.i8042, c.cmos
		tables, err := walk(build(t, m), testAt)
		if err != nil {
			t.Fatal(err)
		}
		if got := le.Uint16(tables["FACP"][109:]); got != c.want {
			t.Errorf("i8042 %v, CMOS %v: IAPC_BOOT_ARCH %#x; want %#x", c.i8042, c.cmos, got, c.want)
		}
	}
}

// TestMADT holds the structures against the literals of ACPI 6.5 §5.2.12.
func TestMADT(t *testing.T) {
	m := testMachine()
	tables, err := walk(build(t, m), testAt)
	if err != nil {
		t.Fatal(err)
	}
	madt := tables["APIC"]
	want := []byte{
		0x00, 0x00, 0xe0, 0xfe, 0, 0, 0, 0, // local APICs, Flags
		0, 8, 0, 0, 1, 0, 0, 0, // processor UID 0, APIC ID 0, enabled
		0, 8, 1, 1, 1, 0, 0, 0, // processor UID 1, APIC ID 1, enabled
		1, 12, 0, 0, 0x00, 0x00, 0xc0, 0xfe, 0, 0, 0, 0, // I/O APIC 0, first GSI 0
		4, 6, 0xff, 0, 0, 1, // NMI of all processors on LINT1
	}
	if !bytes.Equal(madt[36:], want) {
		t.Errorf("MADT has\n% x; want\n% x", madt[36:], want)
	}
}

// TestMADTProcessors holds that each processor is there once, under a
// structure that can say its ID, and that NMI reaches all of them.
func TestMADTProcessors(t *testing.T) {
	for _, cpus := range []int{1, 2, 254, 255, 256, 257, 1024, acpi.MaxCPUs} {
		m := testMachine()
		m.CPUs = cpus
		tables, err := walk(build(t, m), testAt)
		if err != nil {
			t.Fatal(err)
		}
		rs, err := records(tables["APIC"])
		if err != nil {
			t.Fatal(err)
		}
		var ids []int
		counts := map[byte]int{}
		for _, r := range rs {
			counts[r[0]]++
			switch r[0] {
			case 0: // Processor Local APIC
				ids = append(ids, int(r[3]))
				if r[2] != r[3] || le.Uint32(r[4:]) != 1 || len(r) != 8 || r[3] == 0xff {
					t.Errorf("%d CPUs: local APIC % x", cpus, r)
				}
			case 9: // Processor Local x2APIC
				id := le.Uint32(r[4:])
				ids = append(ids, int(id))
				if id < 255 || le.Uint32(r[8:]) != 1 || le.Uint32(r[12:]) != id || len(r) != 16 {
					t.Errorf("%d CPUs: x2APIC % x", cpus, r)
				}
			case 0x0a: // Local x2APIC NMI
				if !bytes.Equal(r, []byte{0x0a, 12, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 0, 0, 0}) {
					t.Errorf("%d CPUs: x2APIC NMI % x", cpus, r)
				}
			}
		}
		if len(ids) != cpus || !slices.IsSorted(ids) || len(slices.Compact(ids)) != cpus {
			t.Errorf("%d CPUs: %d processors listed", cpus, len(ids))
		}
		x2nmi := 0
		if cpus > 255 {
			x2nmi = 1
		}
		if counts[1] != 1 || counts[4] != 1 || counts[0x0a] != x2nmi {
			t.Errorf("%d CPUs: structures by type %v", cpus, counts)
		}
	}
}

// TestDSDT holds the AML of a small machine against bytes put together by hand
// from ACPI 6.5 §20.2 and §6.4.
func TestDSDT(t *testing.T) {
	m := testMachine()
	m.Devices = []acpi.Device{
		{Name: "COM1", HID: "PNP0501", UID: 3, Resources: []acpi.Resource{
			acpi.IOPorts{Base: 0x3f8, Len: 8},
			acpi.IRQ{GSI: 4},
		}},
		{Name: "VIO0", HID: "LNRO0005", UID: 300, Resources: []acpi.Resource{
			acpi.Memory{Base: 0xd0001000, Len: 0x200},
			acpi.IRQ{GSI: 17, Level: true, ActiveLow: true, Shared: true},
		}},
	}
	tables, err := walk(build(t, m), testAt)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Concat(
		[]byte("\x08_S5_\x12\x05\x02\x0a\x05\x00"),                 // Name(_S5, Package(2) {5, 0})
		[]byte("\x10\x48\x07_SB_"),                                 // Scope(_SB): 120 bytes
		[]byte("\x5b\x82\x32COM1"),                                 // Device(COM1): 50 bytes
		[]byte("\x08_HID\x0c\x41\xd0\x05\x01"),                     // Name(_HID, EisaId("PNP0501"))
		[]byte("\x08_UID\x0a\x03"),                                 // Name(_UID, 3)
		[]byte("\x08_CRS\x11\x16\x0a\x13"),                         // Name(_CRS, Buffer(19)
		[]byte("\x47\x01\xf8\x03\xf8\x03\x01\x08"),                 // IO(Decode16, 0x3f8, 0x3f8, 1, 8)
		[]byte("\x89\x06\x00\x03\x01\x04\x00\x00\x00"),             // Interrupt(ResourceConsumer, Edge, ActiveHigh, Exclusive) {4}
		[]byte("\x79\x00"),                                         // end tag
		[]byte("\x5b\x82\x3cVIO0"),                                 // Device(VIO0): 60 bytes
		[]byte("\x08_HID\x0dLNRO0005\x00"),                         // Name(_HID, "LNRO0005")
		[]byte("\x08_UID\x0b\x2c\x01"),                             // Name(_UID, 300)
		[]byte("\x08_CRS\x11\x1a\x0a\x17"),                         // Name(_CRS, Buffer(23)
		[]byte("\x86\x09\x00\x01\x00\x10\x00\xd0\x00\x02\x00\x00"), // Memory32Fixed(ReadWrite, 0xd0001000, 0x200)
		[]byte("\x89\x06\x00\x0d\x01\x11\x00\x00\x00"),             // Interrupt(ResourceConsumer, Level, ActiveLow, Shared) {17}
		[]byte("\x79\x00"),
	)
	if got := tables["DSDT"][36:]; !bytes.Equal(got, want) {
		t.Errorf("DSDT has\n%q; want\n%q", got, want)
	}
}

// TestDSDTWithoutDevices holds that the machine can be turned off all the same.
func TestDSDTWithoutDevices(t *testing.T) {
	m := testMachine()
	m.Devices = nil
	tables, err := walk(build(t, m), testAt)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(tables["DSDT"][36:]), "\x08_S5_\x12\x05\x02\x0a\x05\x00"; got != want {
		t.Errorf("DSDT has %q; want %q", got, want)
	}
}

// TestDevicesInOrder reads the namespace back.
func TestDevicesInOrder(t *testing.T) {
	tables, err := walk(build(t, testMachine()), testAt)
	if err != nil {
		t.Fatal(err)
	}
	a, err := parseDSDT(tables["DSDT"])
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"COM1", "RTC0", "PVPC", "V000", "V001", "PROP"}; !slices.Equal(a.devices, want) {
		t.Errorf("devices %v; want %v", a.devices, want)
	}
	for _, want := range []string{"_S5_", `_SB_.COM1._CRS`, `_SB_.PVPC._STA`, `_SB_.RTC0._CID`, `_SB_.PROP._DSD`} {
		if a.objects[want] == nil {
			t.Errorf("no object %s", want)
		}
	}
}
