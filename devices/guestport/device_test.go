package guestport_test

import (
	"slices"
	"testing"

	"microvm/devices"
	"microvm/devices/guestport"
)

var _ devices.Device = (*guestport.Port)(nil)

func TestWrites(t *testing.T) {
	var stages, codes []uint8
	d := guestport.New(
		func(stage uint8) { stages = append(stages, stage) },
		func(code uint8) { codes = append(codes, code) },
		func() guestport.ConsoleInfo { return guestport.ConsoleInfo{} },
	)
	d.WriteIO(guestport.RegStage, []byte{guestport.StageInit})
	d.WriteIO(guestport.RegStage, []byte{0xff})
	d.WriteIO(guestport.RegStatus, []byte{7})
	d.WriteIO(guestport.RegStage, []byte{guestport.StagePayload, 8}) // both in one access
	for off := uint64(guestport.RegConsole); off < guestport.Size; off++ {
		d.WriteIO(off, []byte{9})
	}
	if want := []uint8{guestport.StageInit, 0xff, guestport.StagePayload}; !slices.Equal(stages, want) {
		t.Errorf("stages = %v, want %v", stages, want)
	}
	if want := []uint8{7, 8}; !slices.Equal(codes, want) {
		t.Errorf("exit statuses = %v, want %v", codes, want)
	}
}

func TestReads(t *testing.T) {
	info := guestport.ConsoleInfo{Terminal: true, Columns: 0x1234, Rows: 0x0567}
	want := []byte{0, 0, guestport.ConsoleTerminal, 0, 0x34, 0x12, 0x67, 0x05}
	d := guestport.New(nil, nil, func() guestport.ConsoleInfo { return info })
	for _, size := range []int{1, 2, 4, 8} {
		var got []byte
		for off := 0; off < guestport.Size; off += size {
			p := make([]byte, size)
			d.ReadIO(uint64(off), p)
			got = append(got, p...)
		}
		if !slices.Equal(got, want) {
			t.Errorf("in accesses of %d bytes: % x, want % x", size, got, want)
		}
	}
	info = guestport.ConsoleInfo{}
	p := []byte{0xff}
	if d.ReadIO(guestport.RegConsole, p); p[0] != 0 {
		t.Errorf("without a terminal RegConsole reads as %#x, want 0", p[0])
	}
}
