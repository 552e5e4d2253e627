package devices

import "golang.org/x/sys/unix"

// MakePatient makes a thread of this process, 0 for the calling one, into one that
// does not take the processor from another when it wakes (sched(7) SCHED_BATCH).
// Where that is not permitted, or somebody has chosen another policy for it, nothing
// changes, and everything works, if slower.
func MakePatient(thread int) {
	attr, err := unix.SchedGetAttr(thread, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return
	}
	attr.Policy = unix.SCHED_BATCH
	_ = unix.SchedSetAttr(thread, attr, 0)
}
