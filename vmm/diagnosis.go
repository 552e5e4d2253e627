package vmm

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"golang.org/x/arch/x86/x86asm"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// A Diagnosis is the state in which a guest died.
type Diagnosis struct {
	CPU    int      `json:"cpu"`
	Cause  string   `json:"likely_cause"`
	Report []string `json:"report"` // lines for a person: registers, code, page walk, last exits
}

// WriteTo writes the diagnosis for a person to read.
func (d *Diagnosis) WriteTo(w io.Writer) (int64, error) {
	text := fmt.Sprintf("vCPU %d died. Likely cause: %s\n  %s\n", d.CPU, d.Cause, strings.Join(d.Report, "\n  "))
	n, err := io.WriteString(w, text)
	return int64(n), err
}

// dies ends the guest with a diagnosis of this processor. It runs on the
// processor's own thread, which has just left KVM_RUN. If cause is empty, the
// processor's state says what it is.
func (c *vcpu) dies(end End, detail, cause string) {
	d := c.diagnose(end)
	if cause != "" {
		d.Cause = cause
	}
	c.m.end(Outcome{End: end, Detail: detail, Diagnosis: d}, nil)
}

// diagnose reads the processor's state. What cannot be read is said in the
// report, for the guest is dead in any case.
func (c *vcpu) diagnose(end End) *Diagnosis {
	d := &Diagnosis{CPU: c.id, Report: []string{}} // an empty list in JSON, not null
	regs, err := c.fd.Regs()
	if err != nil {
		d.Cause = "unknown: " + err.Error()
		return d
	}
	sregs, err := c.fd.Sregs()
	if err != nil {
		d.Cause = "unknown: " + err.Error()
		return d
	}
	rip := sregs.CS.Base + regs.RIP
	if sregs.CS.L != 0 {
		rip = regs.RIP // in 64-bit code the base counts as 0: SDM 3A §3.4.4
	}
	w := walkPages(c.m.mem, &sregs, rip)
	code := codeAt(c.m.mem, w)
	d.Report = append(d.Report, registerLines(&regs, &sregs)...)
	d.Report = append(d.Report, "page walk of rip "+w.String())
	if name, ok := c.m.loaded.Symbol(rip); ok {
		d.Report = append(d.Report, "symbol "+name)
	}
	d.Report = append(d.Report, codeLine(code, &sregs))
	d.Report = append(d.Report, "last exits:")
	for _, l := range c.recent.lines(c.m.board) {
		d.Report = append(d.Report, "  "+l)
	}
	d.Cause = likelyCause(end, c.m.mem, &regs, &sregs, w, code)
	return d
}

func registerLines(r *kvm.Regs, s *kvm.Sregs) []string {
	return []string{
		fmt.Sprintf("rip %016x  rflags %08x  cs %04x  ss %04x  cpl %d", r.RIP, r.RFLAGS, s.CS.Selector, s.SS.Selector, s.SS.DPL),
		fmt.Sprintf("rax %016x  rbx %016x  rcx %016x  rdx %016x", r.RAX, r.RBX, r.RCX, r.RDX),
		fmt.Sprintf("rsi %016x  rdi %016x  rbp %016x  rsp %016x", r.RSI, r.RDI, r.RBP, r.RSP),
		fmt.Sprintf("r8  %016x  r9  %016x  r10 %016x  r11 %016x", r.R8, r.R9, r.R10, r.R11),
		fmt.Sprintf("r12 %016x  r13 %016x  r14 %016x  r15 %016x", r.R12, r.R13, r.R14, r.R15),
		fmt.Sprintf("cr0 %08x  cr2 %016x  cr3 %016x  cr4 %08x  efer %04x", s.CR0, s.CR2, s.CR3, s.CR4, s.EFER),
		fmt.Sprintf("gdt %016x limit %04x  idt %016x limit %04x", s.GDT.Base, s.GDT.Limit, s.IDT.Base, s.IDT.Limit),
	}
}

// maxInstruction is the longest x86 instruction in bytes (SDM 2A §2.3.11).
const maxInstruction = 15

// codeAt copies the bytes of the instruction that w leads to, as far as they
// are in one page of RAM; nil if there are none.
func codeAt(mem *guestmem.Memory, w walk) []byte {
	if w.Err != nil {
		return nil
	}
	n := min(maxInstruction, guestmem.PageSize-uint64(w.Phys)%guestmem.PageSize)
	code := make([]byte, n)
	if _, err := mem.ReadAt(code, int64(w.Phys)); err != nil {
		return nil
	}
	return code
}

// codeBits is the operand size of the code that a processor runs.
func codeBits(s *kvm.Sregs) int {
	switch {
	case s.CS.L != 0:
		return 64
	case s.CS.DB != 0:
		return 32
	}
	return 16
}

func codeLine(code []byte, s *kvm.Sregs) string {
	if code == nil {
		return "code at rip cannot be read"
	}
	inst, err := x86asm.Decode(code, codeBits(s))
	if err != nil {
		return fmt.Sprintf("code at rip % x", code)
	}
	return fmt.Sprintf("code at rip % x: %s", code, x86asm.IntelSyntax(inst, 0, nil))
}

// gateSize is the size in bytes of an interrupt gate (SDM 3A §6.11, §6.14.1).
func gateSize(s *kvm.Sregs) uint64 {
	if s.EFER&eferLME != 0 && s.CR0&cr0PG != 0 {
		return 16
	}
	return 8
}

// int3 is the breakpoint instruction.
const int3 = 0xcc

// likelyCause names what most often leads to such a state.
func likelyCause(end End, mem *guestmem.Memory, r *kvm.Regs, s *kvm.Sregs, rip walk, code []byte) string {
	switch {
	case end == EndTripleFault && isReset(r, s):
		return "unknown: KVM has reset the processor, as it does on AMD, where a triple fault leaves no state to read; only the console and the last exits say where the guest was"
	case end == EndInternalError && code != nil:
		return "KVM could not execute the instruction at rip; a KVM that interprets kernel code knows only some (see vmm doctor)"
	case rip.Err != nil:
		return "rip is not mapped: a jump to a wild address, or page tables that were overwritten"
	case !mem.Contains(rip.Phys, 1):
		return "rip is outside RAM: the kernel was loaded or relocated beyond the guest's memory"
	case s.CR0&cr0PE != 0 && s.IDT.Limit == 0 && len(code) > 0 && code[0] == int3:
		return "the guest emptied the interrupt table and faulted on purpose, as Linux does to reset the machine (reboot=t)"
	case s.CR0&cr0PE != 0 && uint64(s.IDT.Limit) < 8*gateSize(s):
		return "a fault before the kernel had an interrupt table: an early crash, often a processor feature that is missing or too little memory"
	}
	stack := r.RSP
	if s.CS.L == 0 {
		stack += s.SS.Base
	}
	if sp := walkPages(mem, s, stack); s.CR0&cr0PG != 0 && sp.Err != nil {
		return "the stack is not mapped (a stack overflow, or a wild stack pointer), so that no fault could be delivered"
	}
	if gate := walkPages(mem, s, s.IDT.Base); gate.Err != nil {
		return "the interrupt table is not mapped, so that no fault could be delivered"
	}
	if s.IDT.Base != 0 && pageFaultGateAbsent(mem, s) {
		return "the interrupt table has no gate for page faults: the guest emptied it, as some kernels do to reset the machine"
	}
	return "a fault in the fault handlers; the code at rip and cr2 say where"
}

// isReset reports whether a processor is where it starts after a reset (SDM 3A
// table 10-1). KVM puts it there after a triple fault on AMD's processors, as
// these leave the state undefined (APM 2 §15.14.3).
func isReset(r *kvm.Regs, s *kvm.Sregs) bool {
	return s.CR0&cr0PE == 0 && s.CS.Selector == 0xf000 && r.RIP == 0xfff0
}

// pageFaultVector is #PF (SDM 3A table 6-1).
const pageFaultVector = 14

// pageFaultGateAbsent reports whether the gate of page faults can be read and
// is not present.
func pageFaultGateAbsent(mem *guestmem.Memory, s *kvm.Sregs) bool {
	w := walkPages(mem, s, s.IDT.Base+pageFaultVector*gateSize(s))
	var gate [8]byte
	if w.Err != nil {
		return false
	}
	if _, err := mem.ReadAt(gate[:], int64(w.Phys)); err != nil {
		return false
	}
	const present = 1 << 47 // of a gate's first quadword
	return binary.LittleEndian.Uint64(gate[:])&present == 0
}
