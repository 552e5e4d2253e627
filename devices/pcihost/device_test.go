package pcihost_test

import (
	"bytes"
	"encoding/binary"
	"testing"

	"microvm/devices"
	"microvm/devices/pcihost"
)

var _ devices.Device = (*pcihost.Bridge)(nil)

const (
	configAddress = 0 // port 0xcf8
	configData    = 4 // port 0xcfc
	enable        = 1 << 31
)

func read(d devices.Device, off uint64, size int) uint32 {
	var p [4]byte
	d.ReadIO(off, p[:size])
	return binary.LittleEndian.Uint32(p[:])
}

func write(d devices.Device, off uint64, v uint32) {
	d.WriteIO(off, binary.LittleEndian.AppendUint32(nil, v))
}

// TestLinuxProbe follows pci_check_type1: the address must hold what is written
// to it as a doubleword, whatever was written to one of its bytes, and the first
// function must be a host bridge.
func TestLinuxProbe(t *testing.T) {
	b := pcihost.New()
	b.WriteIO(3, []byte{1})
	if got := read(b, configAddress, 4); got != 0 {
		t.Errorf("address = %#x after a write of one byte, want 0", got)
	}
	write(b, configAddress, enable)
	if got := read(b, configAddress, 4); got != enable {
		t.Errorf("address = %#x, want %#x", got, uint32(enable))
	}
	const classDevice, bridgeHost = 0x0a, 0x0600
	write(b, configAddress, enable|classDevice&^3)
	if got := read(b, configData+classDevice&3, 2); got != bridgeHost {
		t.Errorf("class = %#x, want %#x", got, bridgeHost)
	}
}

func TestConfigurationSpace(t *testing.T) {
	for _, tc := range []struct {
		name    string
		address uint32
		off     uint64
		size    int
		want    uint32
	}{
		{"vendor and device", enable, configData, 4, 0x00081b36},
		{"device", enable, configData + 2, 2, 0x0008},
		{"command and status", enable | 4, configData, 4, 0},
		{"class, sub-class, interface, revision", enable | 8, configData, 4, 0x06000000},
		{"header type: one function", enable | 0xc, configData + 2, 1, 0},
		{"last byte", enable | 0xfc, configData + 3, 1, 0},
		{"not enabled", 0, configData, 4, 0xffffffff},
		{"another function", enable | 1<<8, configData, 4, 0xffffffff},
		{"another device", enable | 1<<11, configData, 2, 0xffff},
		{"another bus", enable | 1<<16, configData, 1, 0xff},
		{"low bits of the address", enable | 3, configData, 2, 0x1b36},
		{"across address and data", enable, configData - 2, 4, 0xffffffff},
		{"one byte of the address", enable, configAddress, 1, 0xff},
	} {
		b := pcihost.New()
		write(b, configAddress, tc.address)
		write(b, configData, 0) // is ignored
		if got := read(b, tc.off, tc.size); got != tc.want {
			t.Errorf("%s: %#x, want %#x", tc.name, got, tc.want)
		}
	}
}

// FuzzAccess holds for any address and any access in the block: nothing
// panics, and only the bridge answers.
func FuzzAccess(f *testing.F) {
	f.Add(uint32(enable), uint8(configData), uint8(2))
	f.Add(uint32(0xffffffff), uint8(configData+3), uint8(0))
	f.Fuzz(func(t *testing.T, address uint32, off, logSize uint8) {
		b := pcihost.New()
		write(b, configAddress, address)
		p := make([]byte, 1<<(logSize%4))
		if int(off)+len(p) > pcihost.Size {
			return // the bus gives no access across the end of a block
		}
		b.ReadIO(uint64(off), p)
		bridge := address&enable != 0 && address&0x00ffff00 == 0
		if off >= configData && !bridge && !bytes.Equal(p, bytes.Repeat([]byte{0xff}, len(p))) {
			t.Fatalf("address %#x answers % x", address, p)
		}
	})
}
