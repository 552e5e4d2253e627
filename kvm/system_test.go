package kvm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestOpenErrors(t *testing.T) {
	for _, tt := range []struct {
		err  error
		is   error
		want string
	}{
		{unix.ENOENT, fs.ErrNotExist, "load the module"},
		{unix.ENODEV, unix.ENODEV, "load the module"}, // the device file is there, the module is not
		{unix.EACCES, fs.ErrPermission, "usermod"},
		{unix.EPERM, fs.ErrPermission, "usermod"},
		{unix.EBUSY, unix.EBUSY, "another hypervisor"},
		{unix.EMFILE, unix.EMFILE, "too many open files"},
	} {
		err := openError(devicePath, tt.err)
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), devicePath) {
			t.Errorf("%v: error %q, want %q and the device", tt.err, err, tt.want)
		}
	}
}

func TestOpenWhatIsNotKVM(t *testing.T) {
	if _, err := open(filepath.Join(t.TempDir(), "kvm")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: error %v", err)
	}
	if _, err := open(os.DevNull); err == nil || !strings.Contains(err.Error(), "not a KVM") {
		t.Errorf("%s: error %v", os.DevNull, err)
	}
}

func TestSystem(t *testing.T) {
	s := openSystem(t)
	if v := must1(s.APIVersion())(t); v != apiVersion {
		t.Errorf("version %d", v)
	}
	if n := must1(s.Check(CapUserMemory))(t); n == 0 {
		t.Errorf("%v is missing", CapUserMemory)
	}
	const neverACapability = Cap(1 << 30)
	if n := must1(s.Check(neverACapability))(t); n != 0 {
		t.Errorf("%v is %d", neverACapability, n)
	}
	must(t, s.Close())
	must(t, s.Close())
	if _, err := s.CreateVM(); !errors.Is(err, unix.EBADF) {
		t.Errorf("after Close: error %v", err)
	}
}

func TestNames(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{CapIRQChip.String(), "KVM_CAP_IRQCHIP"},
		{Cap(9999).String(), "KVM_CAP_9999"},
		{ExitIO.String(), "KVM_EXIT_IO"},
		{ExitReason(9999).String(), "KVM_EXIT_9999"},
		{SystemEventReset.String(), "KVM_SYSTEM_EVENT_RESET"},
		{InternalErrorEmulation.String(), "KVM_INTERNAL_ERROR_EMULATION"},
		{MPHalted.String(), "KVM_MP_STATE_HALTED"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
