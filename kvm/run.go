package kvm

import (
	"golang.org/x/sys/unix"
)

// Run lets the guest run until it needs this process, and returns why it
// stopped. The Exit, and the bytes that it refers to, are good until the next
// Run; what the guest is to read must be in the Exit's Data by then. Run
// allocates nothing.
//
// After a Kick, one Run returns an [*InterruptedExit]: at once, without
// running the guest, if it comes after. The answer to an earlier exit has
// then reached the guest's registers.
//
// Preconditions: the caller has called runtime.LockOSThread. KVM wants one
// thread a vCPU, and Kick signals the one that is in Run.
func (c *VCPU) Run() (Exit, error) {
	if err := c.kick.enter(); err != nil {
		return nil, c.about(err)
	}
	defer c.kick.leave()
	for {
		_, errno := rawIoctl(c.fd, reqRun.number, 0)
		switch errno {
		case 0:
			return c.exit.decode(c.page)
		case unix.EINTR:
			if c.kick.taken() {
				return &c.exit.interrupted, nil
			}
			// Another signal, such as the SIGURG by which Go's runtime
			// preempts goroutines. It was for Go, not for us.
		case unix.EAGAIN:
			// An INIT or start-up IPI came to a vCPU that waited for it.
			// KVM wants to be called again (kvm-api KVM_RUN).
		default:
			return c.failed(errno)
		}
	}
}

// failed turns an errno of KVM_RUN into an exit, where it is one, or an error.
func (c *VCPU) failed(errno unix.Errno) (Exit, error) {
	// "KVM_EXIT_MEMORY_FAULT is unique among all KVM exit reasons in that it
	// accompanies a return code of '-1', not '0'! errno will always be set to
	// EFAULT or EHWPOISON" (kvm-api §5). With any other the reason is stale.
	if errno == unix.EFAULT || errno == unix.EHWPOISON {
		if exit := c.exit.memoryFaultOf(c.page); exit != nil {
			return exit, nil
		}
	}
	return nil, c.about(&Error{Op: reqRun.name, Err: errno})
}
