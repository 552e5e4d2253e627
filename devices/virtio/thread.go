package virtio

import (
	"golang.org/x/sys/unix"

	"microvm/devices"
)

// yield lets another thread have this one's processor, if one waits for it. It
// always succeeds (sched_yield(2)).
func yield() { unix.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }

// Patient gives the calling goroutine, which serves q until it ends, a thread that
// does not take the processor from the one who wakes it ([devices.MakePatient]).
//
// Where a processor is free this changes nothing. Where none is, the driver's
// vCPU goes on when it has rung the doorbell, and puts what else it has into the
// queue; the device then serves it all at once, with one interrupt. Otherwise
// the kernel would let the device go first, as it does with threads that mostly
// sleep, and each request would cost the driver a notification, an interrupt and
// two changes of threads. The price is that a guest that computes while it waits
// for a device gets its answer when the host's scheduler has given others their
// turn, some milliseconds later at worst.
//
// The goroutine is not locked to its thread, which would make its calls of Go's
// scheduler dear ([devices.TimeSlice]). It seldom gets another one, and that is
// made patient after the next such call. Then the other stays patient, for
// whatever Go uses it: a vCPU has had its own from the beginning.
func (q *Queue) Patient() {
	q.patient = true
	devices.MakePatient(0)
}

// renewSlice calls Go's scheduler when it is time to.
func (q *Queue) renewSlice() {
	if q.slice.Renew() && q.patient {
		devices.MakePatient(0)
	}
}
