package vmm_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	hvc "microvm/devices/virtio/console"
	"microvm/devices/virtio/vsock"
	"microvm/vmm"
)

// checkField fails the test unless a machine like c has one mistake, in field and
// with these words, or none if they are "".
func checkField(t *testing.T, c vmm.Config, field, want string) (ok bool) {
	t.Helper()
	c.Kernel, c.Memory, c.CPUs = "kernel", vmm.DefaultMemory, vmm.DefaultCPUs
	err := c.Check()
	if want == "" {
		if err != nil {
			t.Error(err)
		}
		return err == nil
	}
	var e *vmm.ConfigError
	if !errors.As(err, &e) || len(e.Problems) != 1 || e.Problems[0].Field != field || !strings.Contains(err.Error(), want) {
		t.Errorf("error %v, want one of %s: %q", err, field, want)
	}
	return false
}

// What a console cannot be made of is refused before; what passes, its constructor takes.
func TestConsolePorts(t *testing.T) {
	names := func(n int) (names []string) {
		for i := range n {
			names = append(names, fmt.Sprint(i))
		}
		return names
	}
	for _, tt := range []struct {
		kind  vmm.ConsoleKind
		ports []string
		want  string
	}{
		{vmm.ConsoleVirtio, nil, ""},
		{vmm.ConsoleVirtio, names(hvc.MaxPorts - 1), ""},
		{vmm.ConsoleVirtio, names(hvc.MaxPorts), "31 ports; must be less than 31"},
		{vmm.ConsoleVirtio, names(1000), "1000 ports"},
		{vmm.ConsoleVirtio, []string{"a", "b", "a"}, `two ports are called "a"`},
		{vmm.ConsoleVirtio, []string{"a", ""}, "port 2 has no name"},
		{vmm.ConsoleSerial, names(1), "has no ports; must be virtio"},
		{"hvc0", nil, "must be one of serial, virtio, off"},
	} {
		if checkField(t, vmm.Config{Console: vmm.Console{Kind: tt.kind, Ports: tt.ports}}, "console", tt.want) {
			if _, err := hvc.New(tt.ports...); err != nil {
				t.Error(err)
			}
		}
	}
}

// So is a context ID that the constructor of a socket device does not take, which
// refuses the same.
func TestContextIDs(t *testing.T) {
	for cid, want := range map[uint32]string{
		0: "reserved", 1: "reserved", vsock.HostCID: "reserved", vsock.AnyCID: "reserved",
		3: "", math.MaxUint32 - 1: "",
	} {
		passes := checkField(t, vmm.Config{Vsock: &vmm.Vsock{CID: cid, Path: "vm.sock"}}, "vsock", want)
		if _, err := vsock.New(cid, nil); (err == nil) != passes {
			t.Errorf("context ID %d: %v", cid, err)
		}
	}
}
