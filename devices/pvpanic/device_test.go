package pvpanic_test

import (
	"testing"

	"microvm/devices"
	"microvm/devices/pvpanic"
)

var _ devices.Device = (*pvpanic.Device)(nil)

func TestReport(t *testing.T) {
	for _, tc := range []struct {
		write uint8
		want  pvpanic.Event
		text  string
	}{
		{0, 0, ""},
		{1, pvpanic.Panicked, "panicked"},
		{2, pvpanic.CrashLoaded, "crash kernel loaded"},
		{3, pvpanic.Panicked | pvpanic.CrashLoaded, "panicked, crash kernel loaded"},
		{0xfc, 0, ""},
		{0xfd, pvpanic.Panicked, "panicked"},
	} {
		var got pvpanic.Event
		d := pvpanic.New(func(e pvpanic.Event) {
			if e == 0 {
				t.Errorf("write of %#x: reported nothing", tc.write)
			}
			got = e
		})
		d.WriteIO(0, []byte{tc.write})
		if got != tc.want || got.String() != tc.text {
			t.Errorf("write of %#x: reported %#x %q, want %#x %q", tc.write, uint8(got), got, uint8(tc.want), tc.text)
		}
	}
}

// TestOffer is the read by which Linux' driver learns what it may report. The
// driver gives up if bit 0 is not among it.
func TestOffer(t *testing.T) {
	p := []byte{0xff}
	pvpanic.New(nil).ReadIO(0, p)
	if p[0] != 0x03 {
		t.Errorf("reads as %#x, want 0x03", p[0])
	}
}
