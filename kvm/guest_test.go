package kvm

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/kvm/guestmem"
)

// noSkip turns each skip for something that the machine lacks into a failure.
const noSkip = "MICROVM_NOSKIP"

// skip ends the test because the machine lacks something.
func skip(t testing.TB, missing string) {
	t.Helper()
	if os.Getenv(noSkip) == "1" {
		t.Fatalf("SKIP refused by %s=1: %s", noSkip, missing)
	}
	t.Skip("SKIP: " + missing)
}

// openSystem returns the machine's KVM, or skips the test if there is none
// that may be used. Any other error is a failure.
func openSystem(t testing.TB) *System {
	t.Helper()
	s, err := Open()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) ||
		errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ENXIO) {
		skip(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOf(t, s) })
	return s
}

// closeOf closes c and fails the test if that fails.
func closeOf(t testing.TB, c interface{ Close() error }) {
	t.Helper()
	must(t, c.Close())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// must1 is for calls that return a value and an error: must1(f())(t).
func must1[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// Where a tiny guest is, in guest-physical memory. Real mode has segment bases
// of 0, so these are also its offsets.
const (
	ramSize   = 0x8000
	codeAt    = 0x1000
	dataAt    = 0x2000
	handlerAt = 0x3000
	stackTop  = 0x8000
	noRAM     = 0xa000 // behind RAM, and in reach of real mode
	flagFixed = 1 << 1 // RFLAGS: always set (SDM 1 §3.4.3)
	flagIF    = 1 << 9 // RFLAGS: interrupts enabled
)

// A tiny is a VM with a page of code: one vCPU, in real mode, and 32 KiB of RAM.
type tiny struct {
	t      testing.TB
	system *System
	mem    *guestmem.Memory
	vm     *VM
	cpu    *VCPU
}

// newTiny returns a guest that is about to run code. The calling goroutine
// keeps its thread until the test ends. Each of setUp is called once the VM
// has memory and before it has a vCPU.
func newTiny(t testing.TB, code []byte, setUp ...func(*VM) error) *tiny {
	t.Helper()
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	g := &tiny{t: t, system: openSystem(t)}
	ram := guestmem.Range{Size: ramSize}
	g.mem = must1(guestmem.New(ram))(t)
	t.Cleanup(func() { closeOf(t, g.mem) })
	must(t, g.mem.CopyIn(codeAt, code))

	g.vm = must1(g.system.CreateVM())(t)
	t.Cleanup(func() { closeOf(t, g.vm) })
	must(t, g.vm.SetUserMemoryRegion(g.slot(SlotFlags(0))))
	for _, f := range setUp {
		must(t, f(g.vm))
	}
	g.cpu = must1(g.vm.CreateVCPU(0))(t)
	t.Cleanup(func() { closeOf(t, g.cpu) })
	g.jump(codeAt)
	return g
}

// slot returns slot 0, all of RAM, with flags.
func (g *tiny) slot(flags SlotFlags) MemoryRegion {
	g.t.Helper()
	host := must1(g.mem.HostAddr(guestmem.Range{Size: ramSize}))(g.t)
	return MemoryRegion{Flags: flags, MemorySize: ramSize, UserspaceAddr: uint64(host)}
}

// jump makes the guest go on at ip, with empty registers and a stack.
func (g *tiny) jump(ip uint64) {
	g.t.Helper()
	sregs := must1(g.cpu.Sregs())(g.t)
	sregs.CS.Base, sregs.CS.Selector = 0, 0
	must(g.t, g.cpu.SetSregs(&sregs))
	must(g.t, g.cpu.SetRegs(&Regs{RIP: ip, RSP: stackTop, RFLAGS: flagFixed}))
}

// Control register bits (SDM 3A §2.5, §2.2.1).
const (
	cr0PE   = 1 << 0  // protected mode
	cr0PG   = 1 << 31 // paging
	cr4PAE  = 1 << 5  // page-table entries of 64 bits
	eferLME = 1 << 8  // long mode wanted
	eferLMA = 1 << 10 // long mode active
)

// protect puts the guest into 32-bit protected mode, with flat segments and
// without paging.
func (g *tiny) protect() {
	g.t.Helper()
	flat := Segment{Limit: 0xffff_ffff, Present: 1, DB: 1, S: 1, G: 1}
	code, data := flat, flat
	code.Selector, code.Type = 1<<3, 0xb // SDM 3A §3.4.5.1: execute, read, accessed
	data.Selector, data.Type = 2<<3, 0x3 // read, write, accessed
	sregs := must1(g.cpu.Sregs())(g.t)
	sregs.CR0 |= cr0PE
	sregs.CS = code
	sregs.DS, sregs.ES, sregs.FS, sregs.GS, sregs.SS = data, data, data, data, data
	must(g.t, g.cpu.SetSregs(&sregs))
}

// regs returns the guest's general registers.
func (g *tiny) regs() Regs {
	g.t.Helper()
	return must1(g.cpu.Regs())(g.t)
}

// run runs the guest to its next exit, which must be an E.
func run[E Exit](g *tiny) E {
	g.t.Helper()
	exit := must1(g.cpu.Run())(g.t)
	e, ok := exit.(E)
	if !ok {
		var want E
		g.t.Fatalf("exit is %v, want a %T; registers %+v", exit, want, g.regs())
	}
	return e
}

// out runs the guest to a write of one byte to an I/O port, which must be
// this one.
func (g *tiny) out(port uint16) {
	g.t.Helper()
	if e := run[*IOExit](g); !e.Out || e.Port != port || e.Size != 1 || e.Count != 1 {
		g.t.Fatalf("exit is %v, want a byte to port %#x; registers %+v", e, port, g.regs())
	}
}

// handle makes code, at handlerAt, the guest's handler of an interrupt or
// exception (SDM 3A §21.1.4: a real-mode vector is an offset and a segment).
func (g *tiny) handle(vector uint8, code []byte) {
	g.t.Helper()
	must(g.t, g.mem.CopyIn(handlerAt, code))
	must(g.t, g.mem.CopyIn(guestmem.Addr(vector)*4, []byte{handlerAt & 0xff, handlerAt >> 8, 0, 0}))
}
