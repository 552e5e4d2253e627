package i8042_test

import (
	"testing"

	"microvm/devices"
	"microvm/devices/i8042"
)

var _ devices.Device = (*i8042.Controller)(nil)

const (
	data    = 0 // port 0x60
	command = 4 // port 0x64
)

func TestReset(t *testing.T) {
	for _, tc := range []struct {
		name string
		off  uint64
		p    []byte
		want int
	}{
		{"reset command", command, []byte{0xfe}, 1},
		{"pulse of no line", command, []byte{0xff}, 0},
		{"self test", command, []byte{0xaa}, 0},
		{"the value as data", data, []byte{0xfe}, 0},
		{"port 0x61", 1, []byte{0xfe}, 0},
		{"the last byte of a wide write", 1, []byte{0, 0, 0, 0xfe}, 1},
	} {
		resets := 0
		i8042.New(func() { resets++ }).WriteIO(tc.off, tc.p)
		if resets != tc.want {
			t.Errorf("%s: %d resets, want %d", tc.name, resets, tc.want)
		}
	}
}

// TestLinuxProbe follows i8042_flush: it reads the status and, while the output
// buffer is full, a byte of data, up to 16; more means that there is none.
func TestLinuxProbe(t *testing.T) {
	c := i8042.New(func() { t.Error("reset") })
	const outputFull, bufferSize = 1 << 0, 16
	n := 0
	for read(c, command)&outputFull != 0 && n <= bufferSize {
		read(c, data)
		n++
	}
	if n <= bufferSize {
		t.Errorf("output buffer empty after %d bytes: the driver goes on to commands, and waits for their answers", n)
	}
}

// TestLinuxReboot follows kb_wait, which waits for the input buffer to be empty
// before the reset command.
func TestLinuxReboot(t *testing.T) {
	const inputFull = 1 << 1
	if v := read(i8042.New(nil), command); v&inputFull != 0 {
		t.Errorf("status = %#x: the input buffer is full", v)
	}
}

func TestHolesReadAsAllOnes(t *testing.T) {
	p := make([]byte, i8042.Size)
	i8042.New(nil).ReadIO(0, p)
	for _, off := range []int{1, 2, 3} {
		if p[off] != 0xff {
			t.Errorf("offset %d reads as %#x, want 0xff", off, p[off])
		}
	}
}

func read(d devices.Device, off uint64) uint8 {
	var p [1]byte
	d.ReadIO(off, p[:])
	return p[0]
}
