package kvm

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// forever is a guest that never exits of its own.
var forever = []byte{
	0xeb, 0xfe, // again: jmp again
}

func TestKickBeforeRun(t *testing.T) {
	g := newTiny(t, forever)
	must(t, g.cpu.Kick())
	must(t, g.cpu.Kick()) // is one with the first
	run[*InterruptedExit](g)
	if ip := g.regs().RIP; ip != codeAt {
		t.Errorf("the guest ran to %#x", ip)
	}
	g.handle(0, []byte{0xe6, 0x10}) // out 0x10, al
	g.jump(handlerAt)
	g.out(0x10) // the kick is over
}

// The answer to an exit reaches the guest even if the next Run is interrupted
// at once: only so is the guest's state whole when it is saved.
func TestKickCompletesAnswer(t *testing.T) {
	g := newTiny(t, []byte{
		0xe4, 0x10, // in al, 0x10
		0xf4, // hlt
	})
	run[*IOExit](g).Data[0] = 0x5a
	must(t, g.cpu.Kick())
	run[*InterruptedExit](g)
	if r := g.regs(); r.RAX != 0x5a || r.RIP != codeAt+2 {
		t.Errorf("RAX is %#x and RIP %#x, want 0x5a and %#x", r.RAX, r.RIP, codeAt+2)
	}
}

func TestKickAfterClose(t *testing.T) {
	g := newTiny(t, forever)
	must(t, g.cpu.Close())
	must(t, g.cpu.Kick())
	must(t, g.cpu.Close())
}

// runner runs a vCPU on a thread of its own, and sends true for each
// interruption of it, until stop says after one that it was the last.
func runner(t *testing.T, c *VCPU, stop func() bool) (<-chan bool, *sync.WaitGroup) {
	interrupted := make(chan bool)
	var thread sync.WaitGroup
	thread.Go(func() {
		defer close(interrupted)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		for {
			exit, err := c.Run()
			if err != nil {
				t.Error(err)
				return
			}
			if _, ok := exit.(*InterruptedExit); !ok {
				t.Errorf("exit is %v", exit)
				return
			}
			if stop() {
				return
			}
			interrupted <- true
		}
	})
	return interrupted, &thread
}

// TestKickIsNeverLost kicks a guest that never exits of its own, and waits for
// each kick's interruption. A kick that is lost hangs the test, until go test's
// time is up. Nothing makes the kicks wait until the guest runs, so they come
// at all moments between two runs of it. An emulated host, where each takes
// milliseconds, gets as many as fit the budget.
func TestKickIsNeverLost(t *testing.T) {
	kicks, budget := 100_000, 20*time.Second
	if testing.Short() {
		kicks /= 100
	}
	g := newTiny(t, forever)
	var done atomic.Bool
	interrupted, thread := runner(t, g.cpu, done.Load)
	sent := 0
	for start := time.Now(); sent < kicks && time.Since(start) < budget; sent++ {
		must(t, g.cpu.Kick())
		if !<-interrupted {
			t.Fatal("the vCPU stopped")
		}
	}
	t.Logf("%d kicks, %d interruptions", sent, sent)
	done.Store(true)
	must(t, g.cpu.Kick())
	thread.Wait()
}

// TestKickFromManyThreads lets kicks fall on one another. Kicks that come
// together may be one; but after the last of them there is an interruption.
func TestKickFromManyThreads(t *testing.T) {
	const kickers, kicks = 4, 2000
	g := newTiny(t, forever)
	var done atomic.Bool
	interrupted, thread := runner(t, g.cpu, done.Load)
	var kicking sync.WaitGroup
	for range kickers {
		kicking.Go(func() {
			for range kicks {
				if err := g.cpu.Kick(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var counting sync.WaitGroup
	counting.Go(func() {
		n := 0
		for range interrupted {
			n++
		}
		t.Logf("%d kicks, %d interruptions", kickers*kicks, n)
	})
	kicking.Wait()
	done.Store(true)
	must(t, g.cpu.Kick())
	thread.Wait()
	counting.Wait()
}

// Signals that are not a kick, such as those by which Go's runtime preempts
// goroutines, do not end Run.
func TestOtherSignalsAreNoKick(t *testing.T) {
	const port = 0x90
	g := newTiny(t, []byte{
		0xe6, port, // again: out port, al
		0xeb, 0xfc, // jmp again
	})
	alive := eventFD(t)
	must(t, g.vm.IOEventFD(IOEvent{FD: alive, Port: true, Addr: port, Size: 1}))
	var kicked atomic.Bool
	_, thread := runner(t, g.cpu, func() bool {
		if !kicked.Load() {
			t.Error("interrupted without a kick")
		}
		return true
	})
	waitForRun(g.cpu)
	id := int(g.cpu.kick.thread.Load())
	for range 100 {
		for count(t, alive) == 0 && g.cpu.kick.thread.Load() != 0 { // until the guest has run
			runtime.Gosched()
		}
		must(t, unix.Tgkill(unix.Getpid(), id, unix.SIGURG))
	}
	kicked.Store(true)
	must(t, g.cpu.Kick())
	thread.Wait()
}

// waitForRun returns when a thread is in c's Run, or just about to be.
func waitForRun(c *VCPU) {
	for c.kick.thread.Load() == 0 {
		runtime.Gosched()
	}
}

// Run lets the signal through even if whoever started the program blocked it.
func TestKickUnblocksItsSignal(t *testing.T) {
	g := newTiny(t, forever)
	all := unix.Sigset_t{}
	for i := range all.Val {
		all.Val[i] = ^uint64(0)
	}
	entered := make(chan struct{})
	var thread sync.WaitGroup
	thread.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with its blocked signals
		if err := unix.PthreadSigmask(unix.SIG_SETMASK, &all, nil); err != nil {
			t.Error(err)
		}
		close(entered)
		exit, err := g.cpu.Run()
		if _, ok := exit.(*InterruptedExit); !ok {
			t.Error(exit, err)
		}
	})
	<-entered
	waitForRun(g.cpu)
	must(t, g.cpu.Kick())
	thread.Wait()
}

// A real-time signal would not do: the kernel refuses to queue one when the
// user's queue is full, and a kick would be lost.
func TestKickNeedsNoSignalQueue(t *testing.T) {
	g := newTiny(t, forever)
	var old unix.Rlimit
	const sigpending = 11 // RLIMIT_SIGPENDING, asm-generic/resource.h
	must(t, unix.Prlimit(0, sigpending, nil, &old))
	must(t, unix.Prlimit(0, sigpending, &unix.Rlimit{Max: old.Max}, nil))
	defer func() { must(t, unix.Prlimit(0, sigpending, &old, nil)) }()

	interrupted, thread := runner(t, g.cpu, func() bool { return true })
	waitForRun(g.cpu)
	must(t, g.cpu.Kick())
	<-interrupted
	thread.Wait()
}
