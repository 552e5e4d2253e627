package acpi

import (
	"bytes"
	"testing"
)

// TestPkgLength holds the encoding against ACPI 6.5 §20.2.4 at the edges of
// each of its four sizes.
func TestPkgLength(t *testing.T) {
	for _, c := range []struct {
		body int
		want []byte
	}{
		{0, []byte{0x01}},
		{62, []byte{0x3f}},
		{63, []byte{0x41, 0x04}},                        // 65
		{4093, []byte{0x4f, 0xff}},                      // 4095
		{4094, []byte{0x81, 0x00, 0x01}},                // 4097
		{1<<20 - 4, []byte{0x8f, 0xff, 0xff}},           // 1<<20 - 1
		{1<<20 - 3, []byte{0xc1, 0x00, 0x00, 0x01}},     // 1<<20 + 1
		{1<<28 - 1 - 4, []byte{0xcf, 0xff, 0xff, 0xff}}, // 1<<28 - 1
	} {
		if got := pkgLength(c.body); !bytes.Equal(got, c.want) {
			t.Errorf("body of %d bytes: % x; want % x", c.body, got, c.want)
		}
	}
}

// TestInteger holds the shortest forms against ACPI 6.5 §20.2.3.
func TestInteger(t *testing.T) {
	for _, c := range []struct {
		v    uint64
		want []byte
	}{
		{0, []byte{0x00}},
		{1, []byte{0x01}},
		{2, []byte{0x0a, 0x02}},
		{0xff, []byte{0x0a, 0xff}},
		{0x100, []byte{0x0b, 0x00, 0x01}},
		{0xffff, []byte{0x0b, 0xff, 0xff}},
		{0x10000, []byte{0x0c, 0x00, 0x00, 0x01, 0x00}},
		{0xffffffff, []byte{0x0c, 0xff, 0xff, 0xff, 0xff}},
		{0x100000000, []byte{0x0e, 0, 0, 0, 0, 1, 0, 0, 0}},
		{1<<64 - 1, []byte{0x0e, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}},
	} {
		if got := integer(c.v); !bytes.Equal(got, c.want) {
			t.Errorf("%#x: % x; want % x", c.v, got, c.want)
		}
	}
}

// TestEISAID holds the compressed form against what iasl makes of EisaId().
func TestEISAID(t *testing.T) {
	for id, want := range map[string]uint32{
		"PNP0501": 0x0105d041,
		"PNP0A08": 0x080ad041,
		"PNP0B00": 0x000bd041,
		"AAA0000": 0x00002104,
		"ZZZFFFF": 0xffff5a6b,
	} {
		if got, ok := eisaID(id); !ok || got != want {
			t.Errorf("%s: %#08x, %v; want %#08x", id, got, ok, want)
		}
	}
}
