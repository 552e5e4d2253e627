package acpi_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"microvm/boot/acpi"
	"microvm/kvm/guestmem"
)

// TestWalk follows the tables from the RSDP as an operating system does.
func TestWalk(t *testing.T) {
	tables, err := walk(build(t, testMachine()), testAt)
	if err != nil {
		t.Fatal(err)
	}
	for sig, want := range map[string]struct {
		revision uint8
		size     int
	}{
		"RSD PTR ": {0, 36},
		"XSDT":     {1, 36 + 2*8},
		"FACP":     {6, 276},
		"APIC":     {6, 44 + 2*8 + 12 + 6},
		"DSDT":     {2, len(tables["DSDT"])},
	} {
		table := tables[sig]
		if len(table) != want.size {
			t.Errorf("%q has %d bytes; want %d", sig, len(table), want.size)
			continue
		}
		if sig == "RSD PTR " {
			if got := string(table[9:15]); got != "MICROV" {
				t.Errorf("RSDP: OEMID %q", got)
			}
			continue
		}
		if table[8] != want.revision {
			t.Errorf("%q has revision %d; want %d", sig, table[8], want.revision)
		}
		if got, want := string(table[10:32]), "MICROVMICROVM \x01\x00\x00\x00MVMM"; got != want {
			t.Errorf("%q: OEM and creator IDs %q; want %q", sig, got, want)
		}
	}
	if len(tables) != 5 {
		t.Errorf("%d tables; want 5", len(tables))
	}
}

// TestRSDPFound looks for the RSDP as ACPI 6.5 §5.2.5.1 says, on each 16-byte
// boundary from 0xe0000 to 0xfffff, wherever in it the tables lie.
func TestRSDPFound(t *testing.T) {
	for _, at := range []guestmem.Addr{0xe0000, 0xe0010, 0xf1230} {
		tables, root, err := acpi.Build(testMachine(), at, uint64(0x100000-at))
		if err != nil {
			t.Fatal(err)
		}
		bios := make([]byte, 0x20000)
		copy(bios[at-0xe0000:], tables)
		found := guestmem.Addr(0)
		for off := 0; off < len(bios); off += 16 {
			if string(bios[off:off+8]) == "RSD PTR " && sum(bios[off:off+20]) == 0 {
				found = 0xe0000 + guestmem.Addr(off)
				break
			}
		}
		if found != at || root != at {
			t.Errorf("tables at %v: RSDP found at %v, reported at %v", at, found, root)
		}
		if _, err := walk(tables, at); err != nil {
			t.Errorf("tables at %v: %v", at, err)
		}
	}
}

func TestDeterministic(t *testing.T) {
	first := build(t, testMachine())
	for range 20 {
		if !bytes.Equal(first, build(t, testMachine())) {
			t.Fatal("the same machine gives different tables")
		}
	}
}

func TestRoom(t *testing.T) {
	n := uint64(len(build(t, testMachine())))
	if _, _, err := acpi.Build(testMachine(), testAt, n); err != nil {
		t.Errorf("exactly enough room: %v", err)
	}
	for _, room := range []uint64{0, n - 1} {
		tables, _, err := acpi.Build(testMachine(), testAt, room)
		if err == nil || tables != nil || !strings.Contains(err.Error(), "the tables need") {
			t.Errorf("room for %d of %d bytes: %d bytes, error %v", room, n, len(tables), err)
		}
	}
}

func TestMostCPUsFitBelow1MiB(t *testing.T) {
	m := testMachine()
	m.CPUs = acpi.MaxCPUs
	if _, err := walk(build(t, m), testAt); err != nil {
		t.Error(err)
	}
}

// TestRefused has a row for each thing that tables cannot say; each must be
// named in the error.
func TestRefused(t *testing.T) {
	device := func(change func(*acpi.Device)) func(*acpi.Machine) {
		return func(m *acpi.Machine) { change(&m.Devices[0]) }
	}
	object := func(o ...acpi.Object) func(*acpi.Machine) {
		return device(func(d *acpi.Device) { d.Objects = o })
	}
	resource := func(r acpi.Resource) func(*acpi.Machine) {
		return device(func(d *acpi.Device) { d.Resources = []acpi.Resource{r} })
	}
	itself := make(acpi.Package, 1)
	itself[0] = itself
	for _, c := range []struct {
		name, want string
		change     func(*acpi.Machine)
	}{
		{"no CPU", "0 CPUs", func(m *acpi.Machine) { m.CPUs = 0 }},
		{"CPUs below 0", "-1 CPUs", func(m *acpi.Machine) { m.CPUs = -1 }},
		{"too many CPUs", "4097 CPUs", func(m *acpi.Machine) { m.CPUs = 4097 }},
		{"local APIC", "local APICs at 0x100000000", func(m *acpi.Machine) { m.LocalAPIC = 1 << 32 }},
		{"no I/O APIC", "I/O APIC at 0x0", func(m *acpi.Machine) { m.IOAPIC = 0 }},
		{"no reset", "0x600, 0x601 and 0x0", func(m *acpi.Machine) { m.Power.Reset = 0 }},
		{"sleep type", "sleep type 8", func(m *acpi.Machine) { m.Power.SleepTypeS5 = 8 }},
		{"same name", `another one is named "COM1"`, func(m *acpi.Machine) { m.Devices[1].Name = "COM1" }},
		{"same UID", "another one is LNRO0005, UID 0", func(m *acpi.Machine) { m.Devices[4].UID = 0 }},
		{"short name", `("COM"): its name`, device(func(d *acpi.Device) { d.Name = "COM" })},
		{"digit first", `("1COM"): its name`, device(func(d *acpi.Device) { d.Name = "1COM" })},
		{"small letters", `("com1"): its name`, device(func(d *acpi.Device) { d.Name = "com1" })},
		{"no HID", `"" is no hardware ID`, device(func(d *acpi.Device) { d.HID = "" })},
		{"HID not hex", `"PNP05XX" is no`, device(func(d *acpi.Device) { d.HID = "PNP05XX" })},
		{"HID digits", `"P1P0501" is no`, device(func(d *acpi.Device) { d.HID = "P1P0501" })},
		{"HID long", `"VIRTIO001" is no`, device(func(d *acpi.Device) { d.HID = "VIRTIO001" })},
		{"HID small", `"virt0001" is no`, device(func(d *acpi.Device) { d.HID = "virt0001" })},
		{"CID", `"x" is no hardware ID`, device(func(d *acpi.Device) { d.CID = []string{"x"} })},
		{"many CIDs", "256 compatible IDs", device(func(d *acpi.Device) { d.CID = slices.Repeat([]string{"PNP0501"}, 256) })},
		{"nil resource", "a resource is nil", resource(nil)},
		{"no ports", "0 I/O ports", resource(acpi.IOPorts{Base: 0x100})},
		{"ports above", "2 I/O ports at 0xffff", resource(acpi.IOPorts{Base: 0xffff, Len: 2})},
		{"GSI", "interrupt 24", resource(acpi.IRQ{GSI: 24})},
		{"no memory", "0 bytes of registers", resource(acpi.Memory{Base: 0xd0000000})},
		{"high memory", "below 4 GiB", resource(acpi.Memory{Base: 0xfffff000, Len: 0x1001})},
		{"wrapping memory", "below 4 GiB", resource(acpi.Memory{Base: 1<<64 - 1, Len: 2})},
		{"object's name", `object "STA"`, object(acpi.Object{Name: "STA", Value: acpi.Integer(1)})},
		{"object _HID", "has one of that name", object(acpi.Object{Name: "_HID", Value: acpi.Integer(1)})},
		{"object twice", "has one of that name", object(acpi.Object{Name: "_STA", Value: acpi.Integer(1)}, acpi.Object{Name: "_STA", Value: acpi.Integer(1)})},
		{"nil value", "a value is nil", object(acpi.Object{Name: "_STA"})},
		{"string", "not all of ASCII", object(acpi.Object{Name: "_STR", Value: acpi.String("a\x00b")})},
		{"buffer", "a buffer is empty", object(acpi.Object{Name: "BUFF", Value: acpi.Buffer{}})},
		{"long package", "256 values", object(acpi.Object{Name: "PACK", Value: make(acpi.Package, 256)})},
		{"package of itself", "nested", object(acpi.Object{Name: "PACK", Value: itself})},
	} {
		m := testMachine()
		c.change(&m)
		tables, _, err := acpi.Build(m, testAt, testRoom)
		if err == nil || !strings.Contains(err.Error(), c.want) || tables != nil {
			t.Errorf("%s: error %v; want one with %q", c.name, err, c.want)
		}
	}
}

func TestRefusedPlaces(t *testing.T) {
	for _, c := range []struct {
		at   guestmem.Addr
		room uint64
		want string
	}{
		{0xe0008, testRoom, "multiple of 16"},
		{1<<64 - 16, testRoom, "end of the address space"},
	} {
		if _, _, err := acpi.Build(testMachine(), c.at, c.room); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("at %v: error %v; want one with %q", c.at, err, c.want)
		}
	}
}

// TestAllMistakesAtOnce holds that one error names every mistake.
func TestAllMistakesAtOnce(t *testing.T) {
	m := testMachine()
	m.CPUs, m.IOAPIC, m.Devices[0].Name, m.Devices[1].HID = 0, 0, "x", "y"
	_, _, err := acpi.Build(m, testAt, testRoom)
	for _, want := range []string{"0 CPUs", "I/O APIC", `("x"): its name`, `"y" is no hardware ID`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v; want %q in it", err, want)
		}
	}
}
