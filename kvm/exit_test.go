package kvm

import (
	"bytes"
	"slices"
	"testing"
)

// The tiny guests' code, with what it is beside it: 16-bit mode, Intel syntax.

func TestExitOut(t *testing.T) {
	for _, tt := range []struct {
		name string
		code []byte
		port uint16
		size uint8
		want []byte
	}{
		{"byte", []byte{
			0xb0, 0x41, // mov al, 0x41
			0xe6, 0x10, // out 0x10, al
		}, 0x10, 1, []byte{0x41}},
		{"word", []byte{
			0xb8, 0x34, 0x12, // mov ax, 0x1234
			0xba, 0xf8, 0x03, // mov dx, 0x3f8
			0xef, // out dx, ax
		}, 0x3f8, 2, []byte{0x34, 0x12}},
		{"dword", []byte{
			0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, // mov eax, 0x12345678
			0xba, 0xff, 0xff, // mov dx, 0xffff
			0x66, 0xef, // out dx, eax
		}, 0xffff, 4, []byte{0x78, 0x56, 0x34, 0x12}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newTiny(t, tt.code)
			e := run[*IOExit](g)
			if !e.Out || e.Port != tt.port || e.Size != tt.size || e.Count != 1 || !bytes.Equal(e.Data, tt.want) {
				t.Errorf("exit is %v", e)
			}
		})
	}
}

func TestExitIn(t *testing.T) {
	for _, tt := range []struct {
		name string
		code []byte
		size uint8
		want uint64 // RAX, from all ones and the answer 78 56 34 12
	}{
		{"byte", []byte{
			0x66, 0x83, 0xc8, 0xff, // or eax, -1
			0xe4, 0x10, // in al, 0x10
			0xf4, // hlt
		}, 1, 0xffffff78},
		{"word", []byte{
			0x66, 0x83, 0xc8, 0xff, // or eax, -1
			0xe5, 0x10, // in ax, 0x10
			0xf4, // hlt
		}, 2, 0xffff5678},
		{"dword", []byte{
			0x66, 0x83, 0xc8, 0xff, // or eax, -1
			0x66, 0xe5, 0x10, // in eax, 0x10
			0xf4, // hlt
		}, 4, 0x12345678},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newTiny(t, tt.code)
			e := run[*IOExit](g)
			if e.Out || e.Port != 0x10 || e.Size != tt.size || e.Count != 1 || len(e.Data) != int(tt.size) {
				t.Errorf("exit is %v", e)
			}
			copy(e.Data, []byte{0x78, 0x56, 0x34, 0x12})
			run[*HLTExit](g)
			if got := g.regs().RAX; got != tt.want {
				t.Errorf("guest read RAX %#x, want %#x", got, tt.want)
			}
		})
	}
}

// How many accesses share an exit is up to KVM.
func TestExitStringOut(t *testing.T) {
	g := newTiny(t, []byte{
		0xfc,             // cld
		0xbe, 0x00, 0x20, // mov si, dataAt
		0xb9, 0x04, 0x00, // mov cx, 4
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xf3, 0x6f, // rep outsw
		0xf4, // hlt
	})
	want := []byte("8 bytes.")
	must(t, g.mem.CopyIn(dataAt, want))
	var got []byte
	for len(got) < len(want) {
		e := run[*IOExit](g)
		if !e.Out || e.Port != 0x3f8 || e.Size != 2 || len(e.Data) != int(e.Count)*2 {
			t.Fatalf("exit is %v", e)
		}
		got = append(got, e.Data...)
	}
	run[*HLTExit](g)
	if !bytes.Equal(got, want) {
		t.Errorf("guest wrote %q, want %q", got, want)
	}
}

func TestExitStringIn(t *testing.T) {
	g := newTiny(t, []byte{
		0xfc,             // cld
		0xbf, 0x00, 0x20, // mov di, dataAt
		0xb9, 0x08, 0x00, // mov cx, 8
		0xba, 0xf8, 0x03, // mov dx, 0x3f8
		0xf3, 0x6c, // rep insb
		0xf4, // hlt
	})
	want := []byte("8 bytes.")
	for answer := want; len(answer) > 0; {
		e := run[*IOExit](g)
		if e.Out || e.Port != 0x3f8 || e.Size != 1 || len(e.Data) != int(e.Count) || len(e.Data) > len(answer) {
			t.Fatalf("exit is %v", e)
		}
		answer = answer[copy(e.Data, answer):]
	}
	run[*HLTExit](g)
	got := make([]byte, len(want))
	if _, err := g.mem.ReadAt(got, dataAt); err != nil || !bytes.Equal(got, want) {
		t.Errorf("guest read %q, %v, want %q", got, err, want)
	}
}

func TestExitMMIO(t *testing.T) {
	g := newTiny(t, []byte{
		0x66, 0xb8, 0x78, 0x56, 0x34, 0x12, // mov eax, 0x12345678
		0xa2, 0x00, 0xa0, // mov [noRAM], al
		0xa3, 0x02, 0xa0, // mov [noRAM+2], ax
		0x66, 0xa3, 0x04, 0xa0, // mov [noRAM+4], eax
		0xa0, 0x00, 0xa0, // mov al, [noRAM]
		0xa1, 0x02, 0xa0, // mov ax, [noRAM+2]
		0x66, 0xa1, 0x04, 0xa0, // mov eax, [noRAM+4]
		0xf4, // hlt
	})
	for i, want := range [][]byte{{0x78}, {0x78, 0x56}, {0x78, 0x56, 0x34, 0x12}} {
		at := uint64(noRAM) + []uint64{0, 2, 4}[i]
		if e := run[*MMIOExit](g); !e.Write || e.Addr != at || !bytes.Equal(e.Data, want) {
			t.Errorf("exit is %v, want a write of % x at %#x", e, want, at)
		}
	}
	for i, size := range []int{1, 2, 4} {
		at := uint64(noRAM) + []uint64{0, 2, 4}[i]
		e := run[*MMIOExit](g)
		if e.Write || e.Addr != at || len(e.Data) != size {
			t.Errorf("exit is %v, want a read of %d bytes at %#x", e, size, at)
		}
		copy(e.Data, []byte{0xa1, 0xb2, 0xc3, 0xd4})
	}
	run[*HLTExit](g)
	if got := g.regs().RAX; got != 0xd4c3b2a1 {
		t.Errorf("guest read %#x", got)
	}
}

func TestExitHLT(t *testing.T) {
	g := newTiny(t, []byte{
		0xf4,       // hlt
		0xe6, 0x10, // out 0x10, al
	})
	run[*HLTExit](g)
	g.out(0x10) // the next Run goes on behind it
}

func TestExitShutdown(t *testing.T) {
	g := newTiny(t, []byte{
		0x0f, 0x0b, // ud2
	})
	g.protect() // real mode's vectors have no limit in KVM's own emulation
	sregs := must1(g.cpu.Sregs())(t)
	sregs.IDT = DTable{} // no handlers: not for #UD, not for the #GP that this makes, not for #DF
	must(t, g.cpu.SetSregs(&sregs))
	run[*ShutdownExit](g)
}

// KVM cannot read an instruction that this process would have to make up.
func TestExitInternalError(t *testing.T) {
	g := newTiny(t, nil)
	g.jump(noRAM)
	e := run[*InternalErrorExit](g)
	if e.Suberror != InternalErrorEmulation {
		t.Errorf("exit is %v", e)
	}
}

// No processor enters a guest with code that is 64-bit and 32-bit at once
// (SDM 3C §27.3.1.2, AMD64 APM 2 §15.5.1), and KVM_SET_SREGS lets it pass.
func TestExitFailEntry(t *testing.T) {
	g := newTiny(t, []byte{
		0xf4, // hlt
	})
	g.protect()
	sregs := must1(g.cpu.Sregs())(t)
	sregs.CR0 |= cr0PG
	sregs.CR4 |= cr4PAE
	sregs.EFER |= eferLME | eferLMA
	sregs.CS.L, sregs.CS.DB = 1, 1
	must(t, g.cpu.SetSregs(&sregs))
	exit := must1(g.cpu.Run())(t)
	if _, ok := exit.(*FailEntryExit); !ok {
		skip(t, "this host's KVM enters a guest that no processor would, and ends with "+exit.String())
	}
	t.Log(exit)
}

func TestExitDebug(t *testing.T) {
	g := newTiny(t, []byte{
		0x90, // nop
		0x40, // inc ax
		0xf4, // hlt
	})
	must(t, g.cpu.SetGuestDebug(&GuestDebug{Control: DebugEnable | DebugSingleStep}))
	const debugException, dr6BS = 1, 1 << 14 // SDM 3B §18.2.3
	for _, pc := range []uint64{codeAt + 1, codeAt + 2} {
		if e := run[*DebugExit](g); e.Exception != debugException || e.PC != pc || e.DR6&dr6BS == 0 {
			t.Errorf("exit is %v, want a step to %#x", e, pc)
		}
	}
	must(t, g.cpu.SetGuestDebug(&GuestDebug{}))
	run[*HLTExit](g)
}

// userMSR makes registers that KVM does not know ours.
func userMSR(vm *VM) error { return vm.EnableCap(CapX86UserSpaceMSR, uint64(MSRExitUnknown)) }

func TestExitMSR(t *testing.T) {
	const unknownMSR = 0x1234_5678
	g := newTiny(t, []byte{
		0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, // mov ecx, unknownMSR
		0x0f, 0x32, // rdmsr
		0x0f, 0x30, // wrmsr
		0x0f, 0x30, // wrmsr
		0xf4, // hlt
	}, userMSR)
	g.handle(13, []byte{ // #GP
		0xe6, 0x13, // out 0x13, al
	})
	r := run[*X86RDMSRExit](g)
	if r.Index != unknownMSR || r.Why != MSRExitUnknown {
		t.Errorf("exit is %v", r)
	}
	const answer = 0x1122_3344_5566_7788
	r.Answer(answer)
	for range 2 {
		w := run[*X86WRMSRExit](g)
		if w.Index != unknownMSR || w.Data != answer {
			t.Errorf("exit is %v, want what was read, %#x", w, uint64(answer))
		}
		if g.regs().RIP != codeAt+8 {
			w.Fault() // the second one
		}
	}
	g.out(0x13)
}

func TestExitMSRFault(t *testing.T) {
	g := newTiny(t, []byte{
		0x66, 0xb9, 0x78, 0x56, 0x34, 0x12, // mov ecx, 0x12345678
		0x0f, 0x32, // rdmsr
		0xf4, // hlt
	}, userMSR)
	g.handle(13, []byte{ // #GP
		0xe6, 0x13, // out 0x13, al
	})
	run[*X86RDMSRExit](g).Fault()
	g.out(0x13)
}

// A whole boot is many thousand exits: garbage would be collected between
// them.
func TestRunAllocatesNothing(t *testing.T) {
	g := newTiny(t, []byte{
		0xe6, 0x10, // again: out 0x10, al
		0xa2, 0x00, 0xa0, // mov [noRAM], al
		0xeb, 0xf9, // jmp again
	})
	reasons := make([]ExitReason, 0, 400)
	allocs := testing.AllocsPerRun(100, func() {
		exit, err := g.cpu.Run()
		if err == nil {
			reasons = append(reasons, exit.Reason())
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations a Run", allocs)
	}
	if !slices.Contains(reasons, ExitIO) || !slices.Contains(reasons, ExitMMIO) {
		t.Errorf("exits were %v", reasons)
	}
}
