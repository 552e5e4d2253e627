package kvm

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

func TestMemorySlots(t *testing.T) {
	const second = 0x9000
	g := newTiny(t, []byte{
		0xb0, 0x41, // mov al, 0x41
		0xa2, 0x00, 0x90, // mov [second], al
		0xf4, // hlt
	})
	slot := MemoryRegion{Slot: 1, GuestPhysAddr: second, MemorySize: 0x1000, UserspaceAddr: g.slot(0).UserspaceAddr + 0x7000}
	must(t, g.vm.SetUserMemoryRegion(slot))
	run[*HLTExit](g)
	if b := must1(g.mem.Slice(0x7000, 1))(t); b[0] != 0x41 { // what both slots' addresses stand for
		t.Errorf("memory behind the slot is %#x", b[0])
	}

	slot.MemorySize = 0
	must(t, g.vm.SetUserMemoryRegion(slot))
	g.jump(codeAt)
	if e := run[*MMIOExit](g); e.Addr != second || !e.Write {
		t.Errorf("exit is %v after the slot was deleted", e)
	}
}

func TestReadOnlySlot(t *testing.T) {
	g := newTiny(t, []byte{
		0xa0, 0x00, 0x20, // mov al, [dataAt]
		0xa2, 0x00, 0x20, // mov [dataAt], al
	})
	must(t, g.mem.CopyIn(dataAt, []byte{0x77}))
	must(t, g.vm.SetUserMemoryRegion(MemoryRegion{})) // deletes slot 0: the flag cannot be changed
	must(t, g.vm.SetUserMemoryRegion(g.slot(SlotReadOnly)))
	e := run[*MMIOExit](g)
	if e.Addr != dataAt || !e.Write || len(e.Data) != 1 || e.Data[0] != 0x77 {
		t.Errorf("exit is %v", e)
	}
}

func TestDirtyLog(t *testing.T) {
	g := newTiny(t, []byte{
		0xa2, 0x00, 0x20, // mov [dataAt], al
		0xa2, 0x00, 0x60, // mov [0x6000], al
		0xf4, // hlt
	})
	must(t, g.vm.SetUserMemoryRegion(g.slot(SlotLogDirtyPages)))
	const pages = ramSize / 0x1000
	must1(g.vm.DirtyLog(0, pages))(t)
	run[*HLTExit](g)
	const written, touched = 1<<2 | 1<<6, 1<<1 | 1<<2 | 1<<6
	if got := must1(g.vm.DirtyLog(0, pages))(t); len(got) != 1 || got[0]&written != written || got[0]&^touched != 0 {
		t.Errorf("dirty pages %b, want %b, at most %b", got, written, touched)
	}
	if got := must1(g.vm.DirtyLog(0, pages))(t); !slices.Equal(got, []uint64{0}) {
		t.Errorf("dirty pages %b, want none since the last call", got)
	}
	if _, err := g.vm.DirtyLog(7, pages); !errors.Is(err, unix.ENOENT) {
		t.Errorf("log of a slot that is not there: %v", err)
	}
}

func TestClock(t *testing.T) {
	g := newTiny(t, nil)
	const hour = 3600e9
	must(t, g.vm.SetClock(ClockData{Clock: hour}))
	first := must1(g.vm.Clock())(t)
	second := must1(g.vm.Clock())(t)
	if first.Clock < hour || first.Clock > 2*hour || second.Clock < first.Clock {
		t.Errorf("clock set to %d ns reads %d and %d", uint64(hour), first.Clock, second.Clock)
	}
}

func TestChips(t *testing.T) {
	g := newTiny(t, nil, (*VM).CreateIRQChip, func(vm *VM) error { return vm.CreatePIT2(PITSpeakerDummy) })
	for chip := range uint32(ChipIOAPIC + 1) {
		state := must1(g.vm.IRQChip(chip))(t)
		must(t, g.vm.SetIRQChip(&state))
		if again := must1(g.vm.IRQChip(chip))(t); again != state {
			t.Errorf("chip %d: set %x, got %x", chip, state, again)
		}
	}
	if _, err := g.vm.IRQChip(ChipIOAPIC + 1); !errors.Is(err, unix.EINVAL) {
		t.Errorf("chip that is not there: %v", err)
	}
	timer := must1(g.vm.PIT2())(t)
	timer.Channels[2].Count, timer.Channels[2].Mode = 1234, 3
	must(t, g.vm.SetPIT2(&timer))
	if again := must1(g.vm.PIT2())(t); again.Channels[2].Count != 1234 || again.Channels[2].Mode != 3 {
		t.Errorf("timer channel 2 is %+v", again.Channels[2])
	}
}

func TestSetUpAddresses(t *testing.T) {
	newTiny(t, nil,
		func(vm *VM) error { return vm.SetIdentityMapAddr(0xfffb_c000) },
		func(vm *VM) error { return vm.SetTSSAddr(0xfffb_d000) },
	)
}

// Errors name the ioctl and what it was about, and hold the errno.
func TestErrors(t *testing.T) {
	g := newTiny(t, nil)
	_, createErr := g.vm.CreateVCPU(0)
	slot := g.slot(0)
	slot.MemorySize++
	for _, tt := range []struct {
		got  error
		want string
		is   error
	}{
		{createErr, "kvm: KVM_CREATE_VCPU 0: file exists", unix.EEXIST},
		{g.vm.SetUserMemoryRegion(slot), "kvm: KVM_SET_USER_MEMORY_REGION slot 0, 32769 bytes at 0x0: invalid argument", unix.EINVAL},
		{g.vm.EnableCap(CapHLT), "kvm: KVM_ENABLE_CAP KVM_CAP_HLT: invalid argument", unix.EINVAL},
		{g.cpu.KVMClockCtrl(), "kvm: KVM_KVMCLOCK_CTRL vCPU 0: invalid argument", unix.EINVAL},
		{g.vm.IRQFD(5, -1), "kvm: KVM_IRQFD GSI 5: invalid argument", unix.EINVAL}, // there is no irqchip
		{g.vm.IOEventFD(IOEvent{FD: -1, Addr: noRAM}), "kvm: KVM_IOEVENTFD 0xa000: bad file descriptor", unix.EBADF},
	} {
		if tt.got == nil || tt.got.Error() != tt.want || !errors.Is(tt.got, tt.is) {
			t.Errorf("error %q, want %q", tt.got, tt.want)
		}
	}
	if err := g.vm.EnableCap(CapX86UserSpaceMSR, 1, 2, 3, 4, 5); err == nil {
		t.Error("five arguments: no error")
	}
}

// TestStartAnotherVCPU wakes a second vCPU as kernels do, by INIT and start-up
// IPIs (SDM 3A §9.4.4) through the x2APIC's interrupt command register.
func TestStartAnotherVCPU(t *testing.T) {
	g := newTiny(t, []byte{
		0x66, 0xb9, 0x30, 0x08, 0x00, 0x00, // mov ecx, 0x830: interrupt command register
		0x66, 0xba, 0x01, 0x00, 0x00, 0x00, // mov edx, 1: to APIC ID 1
		0x66, 0xb8, 0x00, 0x45, 0x00, 0x00, // mov eax, 0x4500: INIT, assert
		0x0f, 0x30, // wrmsr
		0x66, 0xb8, 0x03, 0x46, 0x00, 0x00, // mov eax, 0x4603: start-up at 0x3000
		0x0f, 0x30, // wrmsr
		0xe6, 0x80, // out 0x80, al
	}, (*VM).CreateIRQChip)
	must(t, g.mem.CopyIn(handlerAt, []byte{
		0xe6, 0x81, // out 0x81, al
	}))
	cpuid := must1(g.system.SupportedCPUID())(t)
	const leafFeatures, ecxX2APIC = 1, 1 << 21 // SDM 2A CPUID
	FindCPUID(cpuid, leafFeatures, 0).ECX |= ecxX2APIC
	must(t, g.cpu.SetCPUID(cpuid))
	sregs := must1(g.cpu.Sregs())(t)
	sregs.APICBase |= 1<<11 | 1<<10 // SDM 3A §11.12.1: enabled, x2APIC
	must(t, g.cpu.SetSregs(&sregs))

	other := must1(g.vm.CreateVCPU(1))(t)
	defer closeOf(t, other)
	// KVM looks for a vCPU by APIC ID in a table that it makes anew when an
	// APIC's state is set, but not when a vCPU is created.
	apic := must1(other.LAPIC())(t)
	must(t, other.SetLAPIC(&apic))
	if s := must1(other.MPState())(t); s != MPUninitialized {
		t.Errorf("the second vCPU begins as %v", s)
	}
	var thread sync.WaitGroup
	thread.Go(func() {
		g2 := &tiny{t: t, system: g.system, mem: g.mem, vm: g.vm, cpu: other}
		exit, err := other.Run()
		if e, ok := exit.(*IOExit); !ok || e.Port != 0x81 {
			t.Errorf("the second vCPU ended with %v, %v; registers %+v", exit, err, g2.regs())
		}
	})
	g.out(0x80)
	thread.Wait()
}
