package vmm_test

import (
	"fmt"
	"os"
	"testing"

	"microvm/devices/guestport"
	"microvm/vmm"
)

// A guest of 8 GiB costs the host what it touches. That is more than in one of
// 512 MiB by the kernel's descriptors of the pages (1/64 of them), 64 MiB of
// buffers for devices that reach 4 GiB only, and larger hash tables; with huge
// pages on the host each touch costs 2 MiB.
func TestResidentMemory(t *testing.T) {
	const small, large = 512 * vmm.MiB, 8 * vmm.GiB
	resident := func(memory uint64) (bytes uint64) {
		g := newGuest(t, "true")
		g.Memory = memory
		g.Trace = &vmm.Trace{Event: func(e vmm.Event) {
			if e.Name == vmm.EventMark && e.Stage == guestport.StagePayloadEnd {
				bytes = residentBytes(t)
			}
		}}
		g.run(t).wants(t, vmm.EndPoweredOff, 0)
		return bytes
	}
	few, many := resident(small), resident(large)
	t.Logf("resident: %d MiB of a guest of %d MiB, %d MiB of one of %d MiB", few/vmm.MiB, small/vmm.MiB, many/vmm.MiB, large/vmm.MiB)
	if few == 0 || many > few+(large-small)/8 {
		t.Errorf("%d bytes are resident of %d, and %d of %d", few, uint64(small), many, uint64(large))
	}
}

// residentBytes is the resident memory of this process: the second number of
// /proc/self/statm, in pages.
func residentBytes(t testing.TB) uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Error(err)
		return 0
	}
	var total, resident uint64
	if _, err := fmt.Sscan(string(text), &total, &resident); err != nil {
		t.Error(err)
	}
	return resident * uint64(os.Getpagesize())
}

// The smallest memories that README.md promises do.
func TestSmallestMemory(t *testing.T) {
	for _, tt := range []struct {
		initrd, command string
		memory          uint64
	}{
		{"minimal.cpio", "", 72 * vmm.MiB}, // it has no commands
		{"init.cpio", "true", 112 * vmm.MiB},
	} {
		t.Run(tt.initrd, func(t *testing.T) {
			g := newGuest(t, tt.command)
			g.Initrd, g.Memory = artifact(t, tt.initrd), tt.memory
			g.run(t).wants(t, vmm.EndPoweredOff, 0)
		})
	}
}
