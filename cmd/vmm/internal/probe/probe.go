// Package probe measures what a host's KVM is worth, with guests of a few
// bytes.
package probe

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// Where things are in the probe's guest-physical addresses.
const (
	codeBase        = 0x1000
	memorySize      = 0x4000
	identityMapAddr = 0xfffbc000 // for older Intel processors: kvm-api KVM_SET_IDENTITY_MAP_ADDR
	tssAddr         = 0xfffbd000 // three pages, likewise: kvm-api KVM_SET_TSS_ADDR
)

// exitPort is an I/O port that nobody claims in a VM without an irqchip.
const exitPort = 0x510

// countLoop says that it runs, with its first exit, and then counts in EAX for
// ever.
var countLoop = []byte{
	0xef,       //        out dx, eax
	0x40,       // again: inc eax
	0xeb, 0xfd, //        jmp again
}

// instructionsPerCount is the length of countLoop.
const instructionsPerCount = 2

// exitLoop leaves the guest at each turn.
var exitLoop = []byte{
	0xef,       // again: out dx, eax
	0xeb, 0xfd, //        jmp again
}

// A Speed is how fast code runs, in instructions per second of the same loop
// of two.
type Speed struct {
	Guest  float64 `json:"guest_per_s"`  // kernel mode code of a guest
	Native float64 `json:"native_per_s"` // in this process
}

// hardwareShare is the least share of the native speed at which guest code can
// be said to run on the processor itself. There the two are nearly the same;
// an interpreter has less than a hundredth.
const hardwareShare = 0.1

// Hardware reports whether guest kernel code runs on the processor itself.
func (s Speed) Hardware() bool { return s.Guest >= hardwareShare*s.Native }

// longestCount bounds what MeasureSpeed gives a guest to count at all.
const longestCount = time.Second

// MeasureSpeed runs a loop in a guest's kernel mode, and in this process, for
// about d each; for longer if the guest did not get to count in d.
func MeasureSpeed(s *kvm.System, d time.Duration) (Speed, error) {
	var speed Speed
	err := withGuest(s, countLoop, func(c *kvm.VCPU) error {
		// The first entry pays for what the host sets up for a new guest.
		if exit, err := c.Run(); err != nil {
			return err
		} else if _, ok := exit.(*kvm.IOExit); !ok {
			return fmt.Errorf("the loop began with %v", exit)
		}
		for d := d; speed.Guest == 0 && d <= longestCount; d *= 2 {
			count, took, err := countFor(c, d)
			if err != nil {
				return err
			}
			speed.Guest = instructionsPerCount * float64(count) / took.Seconds()
		}
		return nil
	})
	speed.Native = nativeSpeed(d)
	return speed, err
}

// countFor lets c count for about d. It returns how far it came, and in what
// time.
func countFor(c *kvm.VCPU, d time.Duration) (count uint64, took time.Duration, err error) {
	kick := time.AfterFunc(d, func() { _ = c.Kick() }) // it fails only if there is nothing to stop
	defer kick.Stop()
	began := time.Now()
	exit, err := c.Run()
	took = time.Since(began)
	if err != nil {
		return 0, 0, err
	}
	if _, ok := exit.(*kvm.InterruptedExit); !ok {
		return 0, 0, fmt.Errorf("the loop ended with %v", exit)
	}
	regs, err := c.Regs()
	return regs.RAX, took, err
}

// nativeSpeed runs the same loop as countLoop here. It takes the best of many
// short runs, for other work of the host can only make one slower.
func nativeSpeed(d time.Duration) float64 {
	const turns = 1 << 20
	best := 0.0
	for end := time.Now().Add(d); ; {
		began := time.Now()
		for n := 0; n < turns; n++ {
		}
		now := time.Now()
		best = max(best, instructionsPerCount*turns/now.Sub(began).Seconds())
		if now.After(end) {
			return best
		}
	}
}

// errTooFew means that an exit took so long that there is no median.
var errTooFew = errors.New("an exit takes too long to be measured")

// MeasureExit returns the median time of an exit from guest to this process and
// back, over at most n of them and about d.
func MeasureExit(s *kvm.System, n int, d time.Duration) (time.Duration, error) {
	times := make([]time.Duration, 0, n)
	err := withGuest(s, exitLoop, func(c *kvm.VCPU) error {
		last := time.Now()
		for end := last.Add(d); len(times) < n && last.Before(end); {
			exit, err := c.Run()
			if err != nil {
				return err
			}
			if _, ok := exit.(*kvm.IOExit); !ok {
				return fmt.Errorf("the loop of exits ended with %v", exit)
			}
			now := time.Now()
			times = append(times, now.Sub(last))
			last = now
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	if len(times) < 3 {
		return 0, errTooFew
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// withGuest makes a guest of code in 32-bit protected mode without paging, in
// ring 0, with exitPort in DX, and calls run with its processor.
func withGuest(s *kvm.System, code []byte, run func(*kvm.VCPU) error) (err error) {
	mem, err := guestmem.New(guestmem.Range{Size: memorySize})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, mem.Close()) }()
	if err := mem.CopyIn(codeBase, code); err != nil {
		return err
	}
	vm, err := s.CreateVM()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, vm.Close()) }()
	host, err := mem.HostAddr(guestmem.Range{Size: memorySize})
	if err != nil {
		return err
	}
	err = vm.SetUserMemoryRegion(kvm.MemoryRegion{MemorySize: memorySize, UserspaceAddr: uint64(host)})
	if err != nil {
		return err
	}
	if err := errors.Join(vm.SetIdentityMapAddr(identityMapAddr), vm.SetTSSAddr(tssAddr)); err != nil {
		return err
	}
	cpu, err := vm.CreateVCPU(0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cpu.Close()) }()
	if err := enter(cpu); err != nil {
		return err
	}
	runtime.LockOSThread() // as Run wants
	defer runtime.UnlockOSThread()
	return run(cpu)
}

// Of the registers' contents (SDM 3A §2.5, §3.4.5.1; SDM 1 §3.4.3).
const (
	cr0PE          = 1 << 0
	typeCode       = 0xb // execute, read, accessed
	typeData       = 0x3 // read, write, accessed
	codeSelector   = 1 << 3
	dataSelector   = 2 << 3
	rflagsReserved = 1 << 1 // always 1
)

// enter sets a processor's registers for withGuest.
func enter(c *kvm.VCPU) error {
	sregs, err := c.Sregs()
	if err != nil {
		return err
	}
	flat := kvm.Segment{Limit: 0xffffffff, Selector: dataSelector, Type: typeData, Present: 1, DB: 1, S: 1, G: 1}
	sregs.DS, sregs.ES, sregs.FS, sregs.GS, sregs.SS = flat, flat, flat, flat, flat
	flat.Type, flat.Selector = typeCode, codeSelector
	sregs.CS = flat
	sregs.CR0 |= cr0PE
	if err := c.SetSregs(&sregs); err != nil {
		return err
	}
	return c.SetRegs(&kvm.Regs{RIP: codeBase, RDX: exitPort, RFLAGS: rflagsReserved})
}
