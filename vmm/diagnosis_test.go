package vmm

import (
	"strings"
	"testing"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// Of each state in which a processor can die, the diagnosis names the cause.
func TestLikelyCause(t *testing.T) {
	// The first 4 MiB are mapped as they are, of which 64 KiB are RAM.
	const idt, breakpoint, unmapped = 0x3000, 0x4000, 0x800000
	mapped := kvm.Sregs{CR0: cr0PE | cr0PG, CR4: cr4PSE, CR3: 0x1000}
	mapped.IDT.Base, mapped.IDT.Limit = idt, 0xfff
	with := func(change func(*kvm.Sregs)) kvm.Sregs {
		s := mapped
		change(&s)
		return s
	}
	reset := kvm.Sregs{CR0: 1 << 4}
	reset.CS.Selector = 0xf000

	tests := []struct {
		name  string
		end   End
		regs  kvm.Regs
		sregs kvm.Sregs
		gate  uint64 // of page faults: its first quadword
		want  string
	}{
		{"KVM gave up", EndInternalError, kvm.Regs{}, mapped, 0, "KVM could not execute"},
		{"KVM reset it", EndTripleFault, kvm.Regs{RIP: 0xfff0}, reset, 0, "KVM has reset the processor"},

		{"wild jump", EndTripleFault, kvm.Regs{RIP: unmapped}, mapped, 0, "rip is not mapped"},
		{"beyond RAM", EndTripleFault, kvm.Regs{RIP: 0x20000}, mapped, 0, "rip is outside RAM"},
		{"no interrupt table", EndTripleFault, kvm.Regs{}, with(func(s *kvm.Sregs) { s.IDT.Limit = 0 }), 0, "before the kernel had an interrupt table"},
		{"reboot=t", EndTripleFault, kvm.Regs{RIP: breakpoint}, with(func(s *kvm.Sregs) { s.IDT.Limit = 0 }), 0, "to reset the machine"},
		{"stack", EndTripleFault, kvm.Regs{RSP: unmapped}, mapped, 0, "the stack is not mapped"},
		{"lost interrupt table", EndTripleFault, kvm.Regs{}, with(func(s *kvm.Sregs) { s.IDT.Base = unmapped }), 0, "the interrupt table is not mapped"},
		{"empty interrupt table", EndTripleFault, kvm.Regs{}, mapped, 0, "no gate for page faults"},
		{"handler faults", EndTripleFault, kvm.Regs{}, mapped, 1 << 47, "a fault in the fault handlers"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: 0x10000})
			put(t, mem, 4, map[guestmem.Addr]uint64{0x1000: ptePresent | ptePageSize})
			put(t, mem, 8, map[guestmem.Addr]uint64{idt + pageFaultVector*8: tt.gate})
			put(t, mem, 1, map[guestmem.Addr]uint64{breakpoint: int3})
			rip := walkPages(mem, &tt.sregs, tt.regs.RIP)
			got := likelyCause(tt.end, mem, &tt.regs, &tt.sregs, rip, codeAt(mem, rip))
			if !strings.Contains(got, tt.want) {
				t.Errorf("cause %q, want %q", got, tt.want)
			}
		})
	}
}
