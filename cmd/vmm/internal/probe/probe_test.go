package probe

import (
	"os"
	"testing"
	"time"

	"microvm/kvm"
)

// openKVM opens the host's KVM, or skips the test.
func openKVM(t *testing.T) *kvm.System {
	t.Helper()
	s, err := kvm.Open()
	if err != nil {
		if os.Getenv("MICROVM_NOSKIP") == "1" {
			t.Fatalf("needs KVM: %v", err)
		}
		t.Skipf("SKIP needs KVM: %v", err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestMeasure(t *testing.T) {
	s := openKVM(t)
	speed, err := MeasureSpeed(s, 10*time.Millisecond)
	if err != nil || speed.Guest <= 0 || speed.Native <= 0 {
		t.Errorf("MeasureSpeed = %+v, %v", speed, err)
	}
	exit, err := MeasureExit(s, 100, time.Second)
	if err != nil || exit <= 0 {
		t.Errorf("MeasureExit = %v, %v", exit, err)
	}
	t.Logf("guest %.3g, native %.3g instructions/s, hardware: %t; exit %v", speed.Guest, speed.Native, speed.Hardware(), exit)
}

func TestMeasureExitNeedsThree(t *testing.T) {
	if d, err := MeasureExit(openKVM(t), 2, time.Second); err != errTooFew {
		t.Errorf("MeasureExit of two = %v, %v; want errTooFew", d, err)
	}
}

func TestHardware(t *testing.T) {
	for _, tt := range []struct {
		name          string
		guest, native float64
		want          bool
	}{
		{"metal", 5e9, 6e9, true},
		{"hardware under an emulator", 4e8, 5e8, true},
		{"interpreter", 3e6, 6e9, false},
		{"interpreter on a slow host", 1e6, 5e8, false},
		{"nothing ran", 0, 6e9, false},
	} {
		if got := (Speed{Guest: tt.guest, Native: tt.native}).Hardware(); got != tt.want {
			t.Errorf("%s: Hardware = %t, want %t", tt.name, got, tt.want)
		}
	}
}
