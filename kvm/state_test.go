package kvm

import (
	"bytes"
	"errors"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// roundTrip reads a part of the vCPU's state, changes it, sets it and reads it
// again.
func roundTrip[T any](t *testing.T, get func() (T, error), set func(*T) error, change func(*T)) {
	t.Helper()
	want := must1(get())(t)
	change(&want)
	must(t, set(&want))
	if got := must1(get())(t); !reflect.DeepEqual(got, want) {
		t.Errorf("%T: set %+v\ngot %+v", want, want, got)
	}
}

func TestStateRoundTrips(t *testing.T) {
	g := newTiny(t, nil, (*VM).CreateIRQChip)
	c := g.cpu
	roundTrip(t, c.Regs, c.SetRegs, func(r *Regs) { r.RAX, r.R15, r.RIP = 1, 15, 0x1234 })
	roundTrip(t, c.Sregs, c.SetSregs, func(s *Sregs) { s.CR2, s.GDT.Base, s.GDT.Limit, s.ES.Selector = 2, 0x3000, 0x27, 8 })
	roundTrip(t, c.FPU, c.SetFPU, func(f *FPU) { f.FCW, f.XMM[15][0], f.FPR[7][9] = 0x27f, 15, 7 })
	roundTrip(t, c.LAPIC, c.SetLAPIC, func(s *LAPICState) { s.SetReg(0xf0, 0x1ff) }) // spurious-interrupt vector register
	roundTrip(t, c.DebugRegs, c.SetDebugRegs, func(d *DebugRegs) { d.DB[3] = 0x1234 })
	if must1(g.system.Check(CapXCRs))(t) > 0 {
		roundTrip(t, c.XCRs, c.SetXCRs, func(*XCRs) {})
	}
	roundTrip(t, c.MPState, func(s *MPState) error { return c.SetMPState(*s) }, func(s *MPState) { *s = MPHalted })
	roundTrip(t, c.XSave, func(b *[]byte) error { return c.SetXSave(*b) }, func(*[]byte) {})
	roundTrip(t, c.Events, c.SetEvents, func(e *Events) { e.NMI.Masked = 1 })
	roundTrip(t, c.TSCKHz, func(khz *int) error { return c.SetTSCKHz(uint32(*khz)) }, func(*int) {})
}

// The area that XSave returns has its parts where SDM 1 table 10-2 and §13.4.2
// put them.
func TestXSaveLayout(t *testing.T) {
	const (
		xmm0     = 160
		xstateBV = 512    // which parts are not in their initial state
		sse      = 1 << 1 // the XMM registers
	)
	g := newTiny(t, nil)
	area := must1(g.cpu.XSave())(t)
	area[xstateBV] |= sse
	want := []byte("sixteen bytes...")
	copy(area[xmm0:], want)
	must(t, g.cpu.SetXSave(area))
	if fpu := must1(g.cpu.FPU())(t); !bytes.Equal(fpu.XMM[0][:], want) {
		t.Errorf("XMM0 is %q", fpu.XMM[0])
	}
	if err := g.cpu.SetXSave(area[:100]); err == nil {
		t.Error("SetXSave of 100 bytes: no error")
	}
}

func TestNMI(t *testing.T) {
	g := newTiny(t, nil)
	must(t, g.cpu.NMI())
	if e := must1(g.cpu.Events())(t); e.NMI.Pending == 0 {
		t.Errorf("events are %+v", e)
	}
	g.handle(2, []byte{0xe6, 0x02}) // out 2, al
	g.out(2)
}

func TestSMI(t *testing.T) {
	g := newTiny(t, nil)
	err := g.cpu.SMI()
	if must1(g.system.Check(CapX86SMM))(t) == 0 {
		if err == nil {
			t.Error("no error, though KVM has no system management mode")
		}
		return
	}
	must(t, err)
	if e := must1(g.cpu.Events())(t); e.SMI.Pending == 0 {
		t.Errorf("events are %+v", e)
	}
}

func TestMSRs(t *testing.T) {
	g := newTiny(t, nil)
	want := []MSREntry{{Index: MSRSysenterCS, Data: 0x10}, {Index: MSRPAT, Data: 0x0007_0406_0007_0406}}
	must(t, g.cpu.SetMSRs(want))
	if got := must1(g.cpu.MSRs(MSRSysenterCS, MSRPAT))(t); !slices.Equal(got, want) {
		t.Errorf("set %x, got %x", want, got)
	}
	many := must1(g.cpu.MSRs(slices.Repeat([]uint32{MSRSysenterCS}, 3*msrsAtOnce+1)...))(t)
	for i, e := range many {
		if e != want[0] {
			t.Fatalf("entry %d of %d is %x", i, len(many), e)
		}
	}
	if got, err := g.cpu.MSRs(); len(got) != 0 || err != nil {
		t.Errorf("no registers: %v, %v", got, err)
	}
	const unknown = 0x1234_5678
	if _, err := g.cpu.MSRs(MSRPAT, unknown); err == nil || !strings.Contains(err.Error(), "0x12345678") {
		t.Errorf("unknown register: error %v", err)
	}
	if err := g.cpu.SetMSRs([]MSREntry{{Index: unknown}}); err == nil || !strings.Contains(err.Error(), "0x12345678") {
		t.Errorf("unknown register: error %v", err)
	}
}

// All registers that make up the state can be read.
func TestMSRList(t *testing.T) {
	g := newTiny(t, nil, (*VM).CreateIRQChip)
	list := must1(g.system.MSRs())(t)
	if !slices.Contains(list, MSRTSC) || !slices.Contains(list, MSRPAT) {
		t.Errorf("list is %x", list)
	}
	must(t, g.cpu.SetCPUID(must1(g.system.SupportedCPUID())(t)))
	must1(g.cpu.MSRs(list...))(t)
	must1(g.system.FeatureMSRs())(t)
}

// KVM counts an exit that user space sees among its own.
func TestStats(t *testing.T) {
	g := newTiny(t, []byte{
		0xe6, 0x10, // out %al, $0x10
		0xf4, // hlt
	})
	if have := must1(g.system.Check(CapBinaryStatsFD))(t); have == 0 {
		skip(t, "KVM_CAP_BINARY_STATS_FD")
	}
	must1(g.cpu.Run())(t)
	i := slices.IndexFunc(must1(g.cpu.Stats())(t), func(s Stat) bool { return s.Name == "exits" && s.Value > 0 })
	if i < 0 {
		t.Errorf("no exits in %v", must1(g.cpu.Stats())(t))
	}
}

func TestCPUID(t *testing.T) {
	g := newTiny(t, nil)
	want := must1(g.system.SupportedCPUID())(t)
	must1(g.system.EmulatedCPUID())(t)
	vendor := FindCPUID(want, 0, 0)
	if vendor == nil || vendor.EBX == 0 {
		t.Fatalf("leaf 0 is %+v", vendor)
	}
	vendor.EBX = 0x12345678
	must(t, g.cpu.SetCPUID(want))
	got := must1(g.cpu.CPUID())(t)
	if e := FindCPUID(got, 0, 0); e == nil || e.EBX != 0x12345678 {
		t.Errorf("leaf 0 is %+v", e)
	}
}

func TestFindCPUID(t *testing.T) {
	entries := []CPUIDEntry{
		{Function: 1, EAX: 10},
		{Function: 4, Index: 0, Flags: CPUIDSignificantIndex, EAX: 40},
		{Function: 4, Index: 1, Flags: CPUIDSignificantIndex, EAX: 41},
	}
	for _, tt := range []struct{ function, index, want uint32 }{
		{1, 0, 10},
		{1, 7, 10}, // ECX does not matter to this leaf
		{4, 0, 40},
		{4, 1, 41},
	} {
		if e := FindCPUID(entries, tt.function, tt.index); e == nil || e.EAX != tt.want {
			t.Errorf("leaf %d, %d: %+v, want EAX %d", tt.function, tt.index, e, tt.want)
		}
	}
	if e := FindCPUID(entries, 4, 2); e != nil {
		t.Errorf("leaf 4, 2: %+v, want none", e)
	}
}

func TestTranslate(t *testing.T) {
	g := newTiny(t, nil)
	if tr := must1(g.cpu.Translate(0x1234))(t); tr.Valid == 0 || tr.Physical != 0x1234 {
		t.Errorf("without paging: %+v", tr)
	}
	g.protect() // page tables at 0 that are all zero
	sregs := must1(g.cpu.Sregs())(t)
	sregs.CR0 |= cr0PG
	must(t, g.cpu.SetSregs(&sregs))
	if tr := must1(g.cpu.Translate(0x1234))(t); tr.Valid != 0 {
		skip(t, "this host's KVM_TRANSLATE does not walk the guest's page tables")
	}
}

func TestContradictorySregs(t *testing.T) {
	g := newTiny(t, nil)
	sregs := must1(g.cpu.Sregs())(t)
	sregs.EFER |= eferLMA // long mode, but neither paging nor protected mode
	if err := g.cpu.SetSregs(&sregs); !errors.Is(err, unix.EINVAL) {
		t.Errorf("error %v", err)
	}
}

// Statistics can be read while a guest sleeps in the kernel.
func TestStatsOfSleeper(t *testing.T) {
	g := newTiny(t, []byte{0xf4}, (*VM).CreateIRQChip) // hlt
	if have := must1(g.system.Check(CapBinaryStatsFD))(t); have == 0 {
		skip(t, "KVM_CAP_BINARY_STATS_FD")
	}
	ended := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		_, err := g.cpu.Run()
		ended <- err
	}()
	halted := func(s Stat) bool { return s.Name == "halt_exits" && s.Value > 0 || s.Name == "blocking" && s.Value > 0 }
	for end := time.Now().Add(10 * time.Second); !slices.ContainsFunc(must1(g.cpu.Stats())(t), halted); {
		if time.Now().After(end) {
			t.Fatalf("the guest does not sleep: %v", must1(g.cpu.Stats())(t))
		}
		time.Sleep(time.Millisecond)
	}
	must(t, g.cpu.Kick())
	must(t, <-ended)
}
