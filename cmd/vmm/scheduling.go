package main

import (
	"os"
	"runtime"
	"strconv"

	"microvm/devices"
)

// tuneRuntime keeps Go's runtime out of the way of vCPUs, which spend their lives in
// one system call, and of others that wait in one. It changes nothing that a user has
// chosen by GOMAXPROCS.
func tuneRuntime(vCPUs int) {
	// While one of its processors is to spare, the runtime leaves threads in short
	// system calls alone (runtime/proc.go, retake): one for each vCPU, one for a
	// queue that works for it, and some for what goes on in between: a frame's
	// way takes two threads, a disk's another.
	if n := 2*vCPUs + 4; os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < n {
		runtime.GOMAXPROCS(n)
	}
	makeSysmonPatient()
}

// makeSysmonPatient makes the runtime's own thread one that does not take the
// processor from a vCPU when it wakes. It is there to see which threads are in system
// calls, wakes every 20 µs while some are late, and would else interrupt the guest
// each time where the host has no processor to spare.
//
// It must not be less urgent than others as well (nice 19): now and then it stops a
// thread that comes out of a system call, which then spins until this one has had its
// turn. A disk was 15 % faster so, but one in ten networks ten times slower.
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
	}
}
