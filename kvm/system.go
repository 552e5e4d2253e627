package kvm

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// devicePath is where every Linux puts the device (kvm-api §2).
const devicePath = "/dev/kvm"

// apiVersion is the only one there has been since Linux 2.6.22; kvm-api
// KVM_GET_API_VERSION wants any other refused.
const apiVersion = 12

// A System is the host's KVM: what it offers, and the maker of VMs.
type System struct {
	fd       int
	mmapSize int // bytes of each vCPU's run page (kvm-api KVM_GET_VCPU_MMAP_SIZE)
}

// Open opens /dev/kvm. The error says what to do about it; [errors.Is] tells
// apart fs.ErrNotExist (no KVM), fs.ErrPermission (not for this user) and
// unix.EBUSY (held by another hypervisor).
func Open() (*System, error) { return open(devicePath) }

func open(path string) (*System, error) {
	fd, err := openFile(path)
	if err != nil {
		return nil, openError(path, err)
	}
	s := &System{fd: fd}
	if err := s.prepare(); err != nil {
		s.Close()
		return nil, fmt.Errorf("%w; %s is not a KVM that this program can use", err, path)
	}
	return s, nil
}

// openFile opens path for reading and writing, closed on exec. Signals do not
// end it.
func openFile(path string) (int, error) {
	for {
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

// prepare checks that s speaks our version, and asks what every vCPU needs.
func (s *System) prepare() (err error) {
	version, err := s.APIVersion()
	if err != nil {
		return err
	}
	if version != apiVersion {
		return fmt.Errorf("kvm: KVM_GET_API_VERSION is %d, want %d", version, apiVersion)
	}
	s.mmapSize, err = ioctlValue(s.fd, reqGetVCPUMmapSize, 0)
	if err == nil && s.mmapSize < runSize {
		err = fmt.Errorf("kvm: KVM_GET_VCPU_MMAP_SIZE is %d bytes, want at least %d", s.mmapSize, runSize)
	}
	return err
}

// Close closes the device. VMs live on without it.
func (s *System) Close() error { return closeFD(devicePath, &s.fd) }

// APIVersion returns the version of the host's KVM API, 12.
func (s *System) APIVersion() (int, error) {
	return ioctlValue(s.fd, reqGetAPIVersion, 0)
}

// Check returns 0 if the host's KVM lacks c, and otherwise 1, or for some
// capabilities a larger number with a meaning (kvm-api KVM_CHECK_EXTENSION).
func (s *System) Check(c Cap) (int, error) { return check(s.fd, c) }

func check(fd int, c Cap) (int, error) {
	n, err := ioctlValue(fd, reqCheckExtension, uint64(c))
	return n, about(err, c)
}

// about adds to an [*Error] what the ioctl was about.
func about(err error, what ...any) error {
	var e *Error
	if errors.As(err, &e) {
		e.Op += " " + fmt.Sprint(what...)
	}
	return err
}

// CreateVM makes a VM without memory, interrupt controllers or vCPUs. On some
// hosts it takes tens of milliseconds.
func (s *System) CreateVM() (*VM, error) {
	const machineType = 0 // the only one of x86 that needs no special hardware
	fd, err := ioctlValue(s.fd, reqCreateVM, machineType)
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("%w%s", err, busyAdvice)
	}
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	return &VM{fd: fd, mmapSize: s.mmapSize}, nil
}

// SupportedCPUID returns the CPUID leaves of a vCPU that has all the features
// that host and KVM can give it (kvm-api KVM_GET_SUPPORTED_CPUID). What
// depends on the machine, such as the topology, is for the caller to put in.
func (s *System) SupportedCPUID() ([]CPUIDEntry, error) {
	return cpuidEntries(s.fd, reqGetSupportedCPUID)
}

// EmulatedCPUID returns the CPUID leaves of features that the host lacks and
// KVM emulates, slowly (kvm-api KVM_GET_EMULATED_CPUID).
func (s *System) EmulatedCPUID() ([]CPUIDEntry, error) {
	return cpuidEntries(s.fd, reqGetEmulatedCPUID)
}

// MSRs returns the indexes of the model-specific registers that make up a
// vCPU's state, to be saved and restored (kvm-api KVM_GET_MSR_INDEX_LIST).
func (s *System) MSRs() ([]uint32, error) { return s.msrList(reqGetMSRIndexList) }

// FeatureMSRs returns the indexes of the model-specific registers that say
// what the host's processor can do in a VM (kvm-api
// KVM_GET_MSR_FEATURE_INDEX_LIST).
func (s *System) FeatureMSRs() ([]uint32, error) { return s.msrList(reqGetMSRFeatureIndex) }

// msrList fetches a struct kvm_msr_list: a count and that many indexes. Asked
// for none, the kernel says how many there are, and E2BIG.
func (s *System) msrList(r request) ([]uint32, error) {
	var count uint32
	if _, err := ioctl(s.fd, r, &count); err != nil && !errors.Is(err, unix.E2BIG) {
		return nil, err
	}
	list := make([]uint32, 1+count)
	list[0] = count
	if _, err := ioctl(s.fd, r, &list[0]); err != nil {
		return nil, err
	}
	return list[1 : 1+min(list[0], count)], nil
}
