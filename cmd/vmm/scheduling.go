package main

import (
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"

	"microvm/devices"
)

// leastUrgent is the nice value of a thread that others come before (setpriority(2)).
const leastUrgent = 19

// tuneRuntime keeps Go's runtime out of the way of vCPUs, which spend their lives in
// one system call. It changes nothing that a user has chosen by GOMAXPROCS.
func tuneRuntime(vCPUs int) {
	// While a processor is to spare, the runtime leaves threads in short
	// system calls alone (runtime/proc.go, retake): one for each vCPU, one for
	// a device that works for it, and that one.
	if n := 2*vCPUs + 1; os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	makeSysmonPatient()
}

// makeSysmonPatient gives the runtime's own thread the host's processor last. It is
// there to see which threads are in system calls, and wakes every 20 µs while it finds
// some that took long. Where the host has no processor to spare, each time would
// interrupt the guest: a tenth of the time of a busy disk's guest went there. It still
// gets its turn at some tick of the host's clock (nice 19, sched(7)), so that whoever
// waits for what a thread in a system call holds, waits for some milliseconds.
//
// It is the first thread that the runtime starts (runtime/proc.go, main), and the
// kernel lists threads in that order. If it is not, some other thread is patient,
// which does no harm.
func makeSysmonPatient() {
	dir, err := os.Open("/proc/self/task")
	if err != nil {
		return
	}
	defer dir.Close()
	threads, err := dir.Readdirnames(2)
	if err != nil || len(threads) < 2 {
		return
	}
	if thread, err := strconv.Atoi(threads[1]); err == nil {
		devices.MakePatient(thread)
		_ = unix.Setpriority(unix.PRIO_PROCESS, thread, leastUrgent) // anybody may
	}
}
