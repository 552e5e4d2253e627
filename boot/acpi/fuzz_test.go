package acpi_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"microvm/boot/acpi"
	"microvm/kvm/guestmem"
)

// A source turns fuzz input into choices, nearly all of them good ones; when it
// runs out it gives zeros.
type source struct{ b []byte }

func (s *source) byte() (c byte) {
	if len(s.b) > 0 {
		c, s.b = s.b[0], s.b[1:]
	}
	return c
}

func (s *source) number(bytes int) (n uint64) {
	for range bytes {
		n = n<<8 | uint64(s.byte())
	}
	return n
}

// oneOf picks from mostly good choices; one past them it takes raw bytes.
func (s *source) oneOf(choices ...string) string {
	if i := int(s.byte()); i < 0xfe {
		return choices[i%len(choices)]
	}
	n := min(int(s.byte()%12), len(s.b))
	raw := s.b[:n]
	s.b = s.b[n:]
	return string(raw)
}

func (s *source) machine() acpi.Machine {
	m := acpi.Machine{
		CPUs:      int(s.number(2)%8196) / 2,
		LocalAPIC: 0xfff02000 + guestmem.Addr(s.byte())<<12,
		IOAPIC:    0xfff02000 + guestmem.Addr(s.byte())<<12,
		Power: acpi.Power{SleepControl: 0x600 + uint16(s.byte()), SleepStatus: 0x601, SleepTypeS5: s.byte() / 31,
			Reset: 0x602 + uint16(s.byte()), ResetValue: s.byte()},
		I8042: s.byte()&1 != 0,
		CMOS:  s.byte()&1 != 0,
	}
	for len(s.b) > 0 && len(m.Devices) < 600 {
		m.Devices = append(m.Devices, s.device(len(m.Devices)))
	}
	return m
}

func (s *source) device(i int) acpi.Device {
	d := acpi.Device{
		Name: s.oneOf(fmt.Sprintf("D%03X", i)),
		HID:  s.oneOf("LNRO0005", "PNP0501", "QEMU0001"),
		UID:  uint32(s.number(int(s.byte()%5)))<<10 + uint32(i),
	}
	for n := s.byte() % 4; n > 0; n-- {
		d.CID = append(d.CID, s.oneOf("PNP0500", "MVMM0001"))
	}
	for n := s.byte() % 40; n > 0; n-- {
		d.Resources = append(d.Resources, s.resource())
	}
	for n := s.byte() % 3; n > 0; n-- {
		d.Objects = append(d.Objects, acpi.Object{Name: s.oneOf("_STA", "_DSD", "_STR", "BUF0"), Value: s.value(0)})
	}
	return d
}

func (s *source) resource() acpi.Resource {
	switch kind := s.byte(); {
	case kind == 255:
		return acpi.Memory{Base: guestmem.Addr(s.number(8)), Len: uint32(s.number(4))}
	case kind == 254:
		return acpi.IRQ{GSI: uint32(s.number(4))}
	case kind == 253:
		return nil
	case kind%3 == 0:
		return acpi.IOPorts{Base: uint16(s.number(2)), Len: 1 + s.byte()/2}
	case kind%3 == 1:
		flags := s.byte()
		return acpi.IRQ{GSI: uint32(s.byte() % 24), Level: flags&1 != 0, ActiveLow: flags&2 != 0, Shared: flags&4 != 0}
	}
	return acpi.Memory{Base: guestmem.Addr(s.number(4)), Len: 1 + uint32(s.number(2))}
}

func (s *source) value(depth int) acpi.Value {
	switch kind := s.byte() % 64; {
	case kind < 8 && depth < 10:
		var p acpi.Package
		for n := s.byte() % 6; n > 0; n-- {
			p = append(p, s.value(depth+1))
		}
		return p
	case kind < 16:
		return acpi.String(s.oneOf("a", "several words", ""))
	case kind < 24:
		return acpi.Buffer(bytes.Repeat([]byte{s.byte()}, int(s.number(2))))
	case kind == 63:
		return nil
	}
	return acpi.Integer(s.number(int(s.byte() % 9)))
}

// FuzzBuild holds the law of Build: any Machine gives an error and nothing
// else, or tables that fit their room, can be followed from the RSDP, have
// right lengths and checksums, and whose AML and resources can be read to the
// last byte.
func FuzzBuild(f *testing.F) {
	for n := range uint64(8) {
		f.Add(random(n, 40<<n), uint16(512))
	}
	f.Fuzz(func(t *testing.T, data []byte, blocks uint16) {
		s := &source{data}
		m := s.machine()
		room := uint64(blocks) * 256
		tables, root, err := acpi.Build(m, testAt, room)
		if err != nil {
			if tables != nil || root != 0 {
				t.Fatalf("error %v beside %d bytes of tables", err, len(tables))
			}
			return
		}
		if uint64(len(tables)) > room || root != testAt {
			t.Fatalf("%d bytes in room for %d, RSDP at %v", len(tables), room, root)
		}
		found, err := walk(tables, testAt)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := records(found["APIC"]); err != nil {
			t.Fatal(err)
		}
		a, err := parseDSDT(found["DSDT"])
		if err != nil {
			t.Fatal(err)
		}
		if len(a.devices) != len(m.Devices) {
			t.Fatalf("%d devices read of %d", len(a.devices), len(m.Devices))
		}
	})
}

// random is n bytes, the same for the same seed.
func random(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// TestSourceMostlyValid holds that FuzzBuild gets as far as tables.
func TestSourceMostlyValid(t *testing.T) {
	built := 0
	for seed := range uint64(200) {
		s := &source{random(seed, 100)}
		if _, _, err := acpi.Build(s.machine(), testAt, 1<<24); err == nil {
			built++
		}
	}
	if built < 100 {
		t.Errorf("tables from %d of 200 inputs; want at least half", built)
	}
}
