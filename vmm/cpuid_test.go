package vmm

import (
	"errors"
	"testing"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// leaf finds a leaf of CPUID.
func leaf(t *testing.T, entries []kvm.CPUIDEntry, function, index uint32) kvm.CPUIDEntry {
	t.Helper()
	for _, e := range entries {
		if e.Function == function && e.Index == index {
			return e
		}
	}
	t.Fatalf("no leaf %#x.%d", function, index)
	return kvm.CPUIDEntry{}
}

func TestCPUIDOfEachProcessor(t *testing.T) {
	f := &hostFeatures{cpus: 4, cpuid: []kvm.CPUIDEntry{
		{Function: leafMax, EAX: 0xa},
		{Function: leafFeatures, EBX: 0x07_40_08_00, ECX: ecx1VMX},
		{Function: leafTopology, EBX: 64, EDX: 7},
		{Function: leafTopologyV2, EBX: 64, EDX: 7},
		{Function: leafExtFeatures, ECX: ecxExtSVM},
		{Function: leafAMDSizes, ECX: 0x703f},
		{Function: leafAMDTopology, EAX: 7},
	}}
	f.adjust(true)
	entries := f.forCPU(3)

	if e := leaf(t, entries, leafMax, 0); e.EAX < leafTopology {
		t.Errorf("highest leaf %#x, want at least %#x", e.EAX, leafTopology)
	}
	e := leaf(t, entries, leafFeatures, 0)
	if e.EBX>>24 != 3 || e.EBX>>16&0xff != 4 || e.EBX>>8&0xff != 8 {
		t.Errorf("leaf 1 EBX %#x, want APIC ID 3, 4 processors, cache lines as the host's", e.EBX)
	}
	if e.ECX&ecx1VMX != 0 || e.ECX&ecx1Hypervisor == 0 || e.ECX&ecx1TSCDeadline == 0 {
		t.Errorf("leaf 1 ECX %#x, want no VMX, a hypervisor, a TSC deadline timer", e.ECX)
	}
	if e.EDX&edx1HTT == 0 {
		t.Errorf("leaf 1 EDX %#x, want HTT for more than one processor", e.EDX)
	}
	if e := leaf(t, entries, leafExtFeatures, 0); e.ECX&ecxExtSVM != 0 || e.ECX&ecxExtCmpLegacy == 0 {
		t.Errorf("leaf 0x80000001 ECX %#x, want no SVM, more than one core", e.ECX)
	}
	if e := leaf(t, entries, leafAMDSizes, 0); e.ECX != 2<<12|3 {
		t.Errorf("leaf 0x80000008 ECX %#x, want 2 ID bits, 4 cores", e.ECX)
	}
	if e := leaf(t, entries, leafAMDTopology, 0); e.EAX != 3 {
		t.Errorf("leaf 0x8000001e EAX %#x, want APIC ID 3", e.EAX)
	}
	core := leaf(t, entries, leafTopology, 1)
	if core.EAX != 2 || core.EBX != 4 || core.EDX != 3 {
		t.Errorf("leaf 0xb level 1 %+v, want 2 bits, 4 processors, x2APIC ID 3", core)
	}
	for _, e := range entries {
		if e.Function == leafTopologyV2 {
			t.Errorf("the host's leaf 0x1f is still there: %+v", e)
		}
	}
}

// One processor has a topology too: no bits to tell cores apart.
func TestCPUIDOfOneProcessor(t *testing.T) {
	f := &hostFeatures{cpus: 1, cpuid: []kvm.CPUIDEntry{{Function: leafFeatures}, {Function: leafCaches, EAX: 3<<5 | 3 | 0xfc000000}}}
	f.adjust(false)
	entries := f.forCPU(0)
	if e := leaf(t, entries, leafFeatures, 0); e.EDX&edx1HTT != 0 || e.ECX&ecx1TSCDeadline != 0 {
		t.Errorf("leaf 1 %+v, want neither HTT nor a TSC deadline timer", e)
	}
	if e := leaf(t, entries, leafTopology, 1); e.EAX != 0 || e.EBX != 1 {
		t.Errorf("leaf 0xb level 1 %+v, want 0 bits, 1 processor", e)
	}
	if e := leaf(t, entries, leafCaches, 0); e.EAX>>26 != 0 || e.EAX>>14&0xfff != 0 {
		t.Errorf("leaf 4 EAX %#x, want one core, one sharer", e.EAX)
	}
}

// Memory that ends beyond the processor's addresses is an error of the flag.
func TestCheckAddressSize(t *testing.T) {
	m := &Machine{config: Config{Memory: 4 * GiB}, mem: guestmem.NewHeap(
		guestmem.Range{Start: 0, Size: guestmem.PageSize}, guestmem.Range{Start: holeEnd, Size: guestmem.PageSize})}
	for bits, fits := range map[uint32]bool{0: true, 32: false, 33: true, 46: true} { // 0: the processor does not say
		err := m.checkAddressSize([]kvm.CPUIDEntry{{Function: leafMax}, {Function: leafAMDSizes, EAX: 0x3000 | bits}})
		var wrong *ConfigError
		if fits != (err == nil) || !fits && (!errors.As(err, &wrong) || wrong.Problems[0].Field != "memory") {
			t.Errorf("%d bits: %v", bits, err)
		}
	}
}
