package power_test

import (
	"testing"

	"microvm/devices"
	"microvm/devices/power"
)

var _ devices.Device = (*power.Device)(nil)

func TestWrites(t *testing.T) {
	const s5 = power.SleepTypeS5 << power.SleepTypeShift
	for _, tc := range []struct {
		name            string
		off             uint64
		p               []byte
		powerOff, reset int
	}{
		{"S5", power.RegSleepControl, []byte{s5 | power.SleepEnable}, 1, 0},
		{"S5 with the reserved bits set", power.RegSleepControl, []byte{0xc3 | s5 | power.SleepEnable}, 1, 0},
		{"type of S5 without SLP_EN", power.RegSleepControl, []byte{s5}, 0, 0},
		{"SLP_EN of S0", power.RegSleepControl, []byte{power.SleepEnable}, 0, 0},
		{"SLP_EN of another state", power.RegSleepControl, []byte{3<<power.SleepTypeShift | power.SleepEnable}, 0, 0},
		{"wake status cleared", power.RegSleepStatus, []byte{0x80}, 0, 0},
		{"S5's value to the status", power.RegSleepStatus, []byte{s5 | power.SleepEnable}, 0, 0},
		{"reset", power.RegReset, []byte{power.ResetValue}, 0, 1},
		{"another value to the reset register", power.RegReset, []byte{0xff}, 0, 0},
		{"past the registers", power.RegReset + 1, []byte{power.ResetValue}, 0, 0},
		{"one wide write", 0, []byte{s5 | power.SleepEnable, 0, power.ResetValue, 0}, 1, 1},
	} {
		var powerOff, reset int
		power.New(func() { powerOff++ }, func() { reset++ }).WriteIO(tc.off, tc.p)
		if powerOff != tc.powerOff || reset != tc.reset {
			t.Errorf("%s: %d times powered off, %d reset; want %d, %d", tc.name, powerOff, reset, tc.powerOff, tc.reset)
		}
	}
}

func TestReadsAsZero(t *testing.T) {
	p := []byte{0xff, 0xff, 0xff, 0xff}
	power.New(nil, nil).ReadIO(0, p)
	if string(p) != "\x00\x00\x00\x00" {
		t.Errorf("registers read as % x", p)
	}
}
