package kvm

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"
)

// An Error is an ioctl that the host's kernel refused. Err is its errno, so
// that [errors.Is] finds unix.EBUSY, [fs.ErrPermission] and the like.
type Error struct {
	Op  string // the ioctl by its name in the header, and what it was about: "KVM_CREATE_VCPU 3"
	Err error
}

func (e *Error) Error() string { return "kvm: " + e.Op + ": " + e.Err.Error() }

func (e *Error) Unwrap() error { return e.Err }

// openError says why path could not be opened, and what a person can do.
func openError(path string, err error) error {
	advice := ""
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENXIO):
		advice = "; KVM is not there: load the module kvm_intel or kvm_amd (as root: modprobe kvm_intel), " +
			"and if that fails enable VT-x or AMD-V in the BIOS, or nested virtualisation on the machine below"
	case errors.Is(err, fs.ErrPermission):
		advice = "; you may not use KVM: join the group that owns the device (as root: usermod -aG kvm USER, " +
			"then log in again); in a container the device must be allowed as well"
	case errors.Is(err, unix.EBUSY):
		advice = busyAdvice
	}
	return fmt.Errorf("kvm: open %s: %w%s", path, err, advice)
}

// busyAdvice is for EBUSY, the kernel's answer while somebody else has the
// processor's virtualisation switched on.
const busyAdvice = "; another hypervisor, such as VirtualBox or VMware, holds the processor's virtualisation: stop it first"
