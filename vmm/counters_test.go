package vmm

import (
	"reflect"
	"testing"
)

func TestCountersSum(t *testing.T) {
	a, b := newCounters(), newCounters()
	lsr := accessKey{space: SpacePort, addr: 0x3fd, write: false}
	thr := accessKey{space: SpacePort, addr: 0x3f8, write: true}
	for range 3 {
		a.exit("KVM_EXIT_IO", 2)
		a.access(lsr, "com1", 5, 1)
	}
	b.exit("KVM_EXIT_IO", 1)
	b.exit("KVM_EXIT_HLT", 0)
	b.access(lsr, "com1", 5, 1)
	b.access(thr, "com1", 0, 4)

	exits, accesses := sum([]*counters{a, b})
	wantExits := []ExitCount{{"KVM_EXIT_IO", 4, 7}, {"KVM_EXIT_HLT", 1, 0}}
	wantAccesses := []Access{
		{Device: "com1", Space: SpacePort, Addr: 0x3fd, Offset: 5, Count: 4, Bytes: 4},
		{Device: "com1", Space: SpacePort, Addr: 0x3f8, Write: true, Count: 1, Bytes: 4},
	}
	if !reflect.DeepEqual(exits, wantExits) {
		t.Errorf("exits %+v, want %+v", exits, wantExits)
	}
	if !reflect.DeepEqual(accesses, wantAccesses) {
		t.Errorf("accesses %+v, want %+v", accesses, wantAccesses)
	}
	if n := exitsSoFar([]*counters{a, b}); n != 5 {
		t.Errorf("%d exits so far, want 5", n)
	}
}

// A guest that touches a new address each time does not make the monitor grow
// without end.
func TestCountersAreBounded(t *testing.T) {
	c := newCounters()
	const touched = 3 * maxAccessCounters
	for i := range uint64(touched) {
		c.access(accessKey{space: SpaceMMIO, addr: i * 8, write: false}, noDevice, 0, 8)
	}
	if n := len(c.accesses); n > maxAccessCounters+1 {
		t.Errorf("%d counters, want at most %d and one for the others", n, maxAccessCounters)
	}
	_, accesses := sum([]*counters{c})
	var total uint64
	for _, a := range accesses {
		total += a.Count
	}
	if total != touched {
		t.Errorf("%d accesses counted, want %d", total, touched)
	}
}
