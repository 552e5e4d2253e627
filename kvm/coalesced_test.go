package kvm

import (
	"fmt"
	"slices"
	"testing"
)

// Writes to a coalesced place are kept in their order, and exit when the ring is
// full; those beside it exit as ever.
func TestCoalesceMMIO(t *testing.T) {
	g := newTiny(t, []byte{
		0xa2, 0x00, 0xa0, // mov [noRAM], al
		0xa3, 0x02, 0xa0, // mov [noRAM+2], ax
		0xfe, 0xc0, // inc al
		0x3c, 0x03, // cmp al, 3
		0x75, 0xf4, // jne to the start
		0xa2, 0x08, 0xa0, // mov [noRAM+8], al
		0xa2, 0x00, 0xa0, // again: mov [noRAM], al
		0xeb, 0xfb, // jmp again
	})
	if n := must1(g.system.Check(CapCoalescedMMIO))(t); n != coalescedPage {
		skip(t, fmt.Sprintf("KVM_CAP_COALESCED_MMIO is %d", n))
	}
	must(t, g.vm.CoalesceMMIO(noRAM, 8))
	if _, _, ok := g.cpu.CoalescedWrite(); ok {
		t.Error("a write before the first")
	}
	next := func() (addr uint64, data []byte) {
		t.Helper()
		e, ok := must1(g.cpu.Run())(t).(*MMIOExit)
		if !ok || !e.Write {
			t.Fatalf("exit %v", e)
		}
		return e.Addr, e.Data
	}
	if addr, data := next(); addr != noRAM+8 || !slices.Equal(data, []byte{3}) {
		t.Errorf("exit for % x at %#x", data, addr)
	}
	for i := range byte(3) {
		for _, want := range []struct {
			addr uint64
			data []byte
		}{{noRAM, []byte{i}}, {noRAM + 2, []byte{i, 0}}} {
			addr, data, ok := g.cpu.CoalescedWrite()
			if !ok || addr != want.addr || !slices.Equal(data, want.data) {
				t.Errorf("% x at %#x, %t; want % x at %#x", data, addr, ok, want.data, want.addr)
			}
		}
	}
	if _, _, ok := g.cpu.CoalescedWrite(); ok {
		t.Error("a write more than there were")
	}

	if addr, _ := next(); addr != noRAM {
		t.Errorf("exit for %#x when the ring is full", addr)
	}
	kept := 0
	for {
		if _, _, ok := g.cpu.CoalescedWrite(); !ok {
			break
		}
		kept++
	}
	// One entry is free, so that full and empty differ. Older kernels find the
	// ring full earlier: their arithmetic wraps at 2^32, no multiple of 170.
	if kept == 0 || kept >= coalescedEntries {
		t.Errorf("%d writes were kept; the ring has %d entries", kept, coalescedEntries)
	}
}
