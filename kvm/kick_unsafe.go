package kvm

import (
	"errors"
	"sync"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// kickSignal is what gets a thread out of KVM_RUN. KVM only wants to see some
// signal pending; nobody wants the signal itself.
//
// Go's runtime has a handler for every signal, and for one that it has no use
// for and that no os/signal.Notify asked for, the handler does nothing. That
// leaves out the signals that end a Go program, and SIGURG, by which the
// runtime preempts goroutines. It is not a real-time signal either: those are
// queued, and sending one fails with EAGAIN when the user's queue
// (RLIMIT_SIGPENDING) is full, which would be a lost wake-up. A standard signal
// that is already pending is simply pending. SIGIO remains: the kernel sends
// it only for descriptors with O_ASYNC, and we have none.
const kickSignal = unix.SIGIO

// A kick wakes a vCPU's thread.
//
// The word at the start of the run page holds immediate_exit, which KVM_RUN
// looks at before it enters the guest. The order of stores and loads rules out
// a lost wake-up, as in Dekker's algorithm; Go's atomics are sequentially
// consistent:
//
//	Kick                          Run
//	1. immediate_exit = 1         1. thread = this one
//	2. read thread, signal it     2. KVM_RUN reads immediate_exit, enters the guest
//
// If Kick reads no thread, then Run comes to its first step later, and KVM_RUN
// sees immediate_exit. If Kick reads one, the signal either arrives before
// KVM_RUN, which sees immediate_exit all the same; or within, and ends it; or
// after, and the next KVM_RUN sees immediate_exit.
type kick struct {
	mu     sync.Mutex     // guards that word, against Kick after Close; no other lock is taken inside
	word   *atomic.Uint32 // request_interrupt_window, immediate_exit and padding of struct kvm_run; nil once closed
	thread atomic.Int32   // the thread that is in Run, or 0
	last   int32          // the thread that was in Run last; of Run only
}

// immediateExit is the field immediate_exit in the word. The field before it
// asks for an exit that a VM with CreateIRQChip never needs, so it stays 0.
const immediateExit = 1 << (8 * offImmediateExit)

// arm makes k ready for a vCPU with the given run page.
func (k *kick) arm(page []byte) {
	k.word = (*atomic.Uint32)(unsafe.Pointer(unsafe.SliceData(page)))
}

// disarm makes Kick do nothing from now on.
func (k *kick) disarm() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.word = nil
}

// enter says that this thread is about to be in KVM_RUN. A thread that is new
// here gets the signal unblocked, since a program inherits the blocked ones
// from whoever started it.
func (k *kick) enter() error {
	thread := int32(unix.Gettid())
	if thread != k.last {
		if err := unblock(kickSignal); err != nil {
			return &Error{Op: "pthread_sigmask", Err: err}
		}
		k.last = thread
	}
	k.thread.Store(thread)
	return nil
}

// unblock lets the signal through to this thread.
func unblock(signal unix.Signal) error {
	n := uint(signal) - 1 // bit of the set
	var set unix.Sigset_t
	bits := uint(unsafe.Sizeof(set.Val[0]) * 8)
	set.Val[n/bits] |= 1 << (n % bits)
	return unix.PthreadSigmask(unix.SIG_UNBLOCK, &set, nil)
}

// leave says that this thread is out of KVM_RUN.
func (k *kick) leave() { k.thread.Store(0) }

// taken reports whether there was a kick since it was last called.
func (k *kick) taken() bool {
	return k.word.And(^uint32(immediateExit))&immediateExit != 0
}

// Kick makes Run return an [*InterruptedExit]: the one that is running now, or
// else the next. Kicks that come before it returns are one. It may be called
// from any thread, before the first Run, after the last, and after Close.
func (c *VCPU) Kick() error {
	k := &c.kick
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.word == nil {
		return nil
	}
	k.word.Or(immediateExit)
	thread := k.thread.Load()
	if thread == 0 {
		return nil
	}
	// ESRCH: the thread ended since, and so its Run did.
	if err := unix.Tgkill(unix.Getpid(), int(thread), kickSignal); err != nil && !errors.Is(err, unix.ESRCH) {
		return c.about(&Error{Op: "tgkill", Err: err})
	}
	return nil
}
