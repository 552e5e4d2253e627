package devices_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"microvm/devices"
)

// A stub is a device that answers with its first byte, and records what reaches
// it.
type stub struct {
	name string
	off  uint64
	got  []byte
}

func (s *stub) Name() string { return s.name }

func (s *stub) ReadIO(off uint64, p []byte) {
	s.off = off
	for i := range p {
		p[i] = s.name[0]
	}
}

func (s *stub) WriteIO(off uint64, p []byte) {
	s.off, s.got = off, bytes.Clone(p)
}

func newBus(t *testing.T) (bus *devices.Bus, a, z *stub) {
	bus = devices.NewBus("I/O port")
	a, z = &stub{name: "a"}, &stub{name: "z"}
	// In descending order, and the last block ends with the address space.
	for _, err := range []error{bus.Add(z, math.MaxUint64-3, 4), bus.Add(a, 0x10, 8)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	return bus, a, z
}

func TestBusFind(t *testing.T) {
	bus, a, z := newBus(t)
	for _, tc := range []struct {
		name    string
		addr, n uint64
		want    *stub
		off     uint64
	}{
		{"before all", 0xf, 1, nil, 0},
		{"first byte", 0x10, 1, a, 0},
		{"whole block", 0x10, 8, a, 0},
		{"last byte", 0x17, 1, a, 7},
		{"past the end", 0x18, 1, nil, 0},
		{"across the start", 0xf, 2, nil, 0},
		{"across the end", 0x17, 2, nil, 0},
		{"wider than the block", 0x10, 9, nil, 0},
		{"of no bytes", 0x10, 0, nil, 0},
		{"last address", math.MaxUint64, 1, z, 3},
		{"across the last address", math.MaxUint64, 2, nil, 0},
	} {
		dev, off := bus.Find(tc.addr, tc.n)
		if tc.want == nil {
			if dev != nil {
				t.Errorf("%s: found %s", tc.name, dev.Name())
			}
		} else if dev != tc.want || off != tc.off {
			t.Errorf("%s: found %v at offset %d, want %s at %d", tc.name, dev, off, tc.want.name, tc.off)
		}
	}
}

func TestBusAccess(t *testing.T) {
	bus, a, _ := newBus(t)
	p := make([]byte, 2)
	if dev := bus.Read(0x12, p); dev != a || string(p) != "aa" || a.off != 2 {
		t.Errorf("read % x at offset %d of %v", p, a.off, dev)
	}
	if dev := bus.Write(0x14, []byte{1, 2}); dev != a || !bytes.Equal(a.got, []byte{1, 2}) || a.off != 4 {
		t.Errorf("wrote % x at offset %d of %v", a.got, a.off, dev)
	}
	if dev := bus.Read(0x100, p); dev != nil || !bytes.Equal(p, []byte{0xff, 0xff}) {
		t.Errorf("where nothing is: % x of %v, want ff ff of none", p, dev)
	}
	if dev := bus.Write(0x100, p); dev != nil {
		t.Errorf("where nothing is: %v took the write", dev)
	}
}

func TestBusRefuses(t *testing.T) {
	for _, tc := range []struct {
		name       string
		base, size uint64
		want       string // in the error, "" for none
	}{
		{"no addresses", 0x100, 0, "size"},
		{"wraps around", math.MaxUint64, 2, "size"},
		{"the same block", 0x10, 8, "overlaps a"},
		{"first byte", 0xf, 2, "overlaps a"},
		{"last byte", 0x17, 1, "overlaps a"},
		{"inside", 0x12, 1, "overlaps a"},
		{"around", 0, 0x100, "overlaps a"},
		{"around all", 0, math.MaxUint64, "overlaps"},
		{"the last address", math.MaxUint64, 1, "overlaps z"},
		{"just before", 0xf, 1, ""},
		{"just after", 0x18, 1, ""},
	} {
		bus, _, _ := newBus(t)
		err := bus.Add(&stub{name: "new"}, tc.base, tc.size)
		if tc.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "I/O port: new") {
			t.Errorf("%s: error %v, want one with %q", tc.name, err, tc.want)
		}
		if n := blocks(bus); n != "a z " {
			t.Errorf("%s: the bus has %safterwards", tc.name, n)
		}
	}
}

func blocks(bus *devices.Bus) (names string) {
	bus.All(func(dev devices.Device, _, _ uint64) bool {
		names += dev.Name() + " "
		return true
	})
	return names
}

func TestBusAll(t *testing.T) {
	bus, a, _ := newBus(t)
	bus.All(func(dev devices.Device, base, size uint64) bool {
		if dev != a || base != 0x10 || size != 8 {
			t.Errorf("first is %v at %#x of %#x", dev, base, size)
		}
		return false
	})
	if got := blocks(bus); got != "a z " {
		t.Errorf("devices in order: %s", got)
	}
}
