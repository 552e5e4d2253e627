package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// started is when this process was started, the zero of a timeline.
var started = processStart()

// maxStart is the most processor time that the start of a program can have
// taken. Who used more has done other things before, such as a shell script
// that ends in exec.
const maxStart = 100 * time.Millisecond

// processStart estimates when this process was started. The kernel notes it to
// 10 ms only (proc_pid_stat(5), starttime), and a clock read here would leave
// out exec and the Go runtime's own start, a millisecond or two.
//
// The way from there to here is work without waiting, if the program's file is
// in the page cache, so that it took the processor time that this thread has
// used. Package variables are initialised on the thread that the process
// started with. Time spent waiting for a processor or a disk is left out.
func processStart() time.Time {
	now := time.Now()
	var used unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &used); err != nil {
		return now
	}
	if d := time.Duration(used.Nano()); d <= maxStart {
		return now.Add(-d)
	}
	return now
}
