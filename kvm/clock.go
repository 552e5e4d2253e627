package kvm

import "structs"

// pitConfig is struct kvm_pit_config.
type pitConfig struct {
	_     structs.HostLayout
	Flags uint32
	_     [15]uint32
}

// PITSpeakerDummy is a flag of CreatePIT2: KVM answers port 0x61 as well, which
// gates the timer's channel 2 and reads its output (KVM_PIT_SPEAKER_DUMMY).
const PITSpeakerDummy = 1

// CreatePIT2 gives the VM an 8254 timer, in the kernel, at its ports and on
// IRQ 0. It must come after CreateIRQChip (kvm-api KVM_CREATE_PIT2).
func (vm *VM) CreatePIT2(flags uint32) error {
	_, err := ioctl(vm.fd, reqCreatePIT2, &pitConfig{Flags: flags})
	return err
}

// A PITChannel is the state of one of the 8254's counters (struct
// kvm_pit_channel_state).
type PITChannel struct {
	_             structs.HostLayout
	Count         uint32 // reload value, up to 65536
	LatchedCount  uint16
	CountLatched  uint8
	StatusLatched uint8
	Status        uint8
	ReadState     uint8
	WriteState    uint8
	WriteLatch    uint8
	RWMode        uint8
	Mode          uint8
	BCD           uint8
	Gate          uint8
	CountLoadTime int64 // in ns of the host's monotonic clock
}

// PITState is the state of the 8254 (struct kvm_pit_state2).
type PITState struct {
	_        structs.HostLayout
	Channels [3]PITChannel
	Flags    uint32
	_        [9]uint32
}

// PIT2 returns the timer's state (kvm-api KVM_GET_PIT2).
func (vm *VM) PIT2() (PITState, error) {
	var s PITState
	_, err := ioctl(vm.fd, reqGetPIT2, &s)
	return s, err
}

// SetPIT2 sets the timer's state (kvm-api KVM_SET_PIT2).
func (vm *VM) SetPIT2(s *PITState) error {
	_, err := ioctl(vm.fd, reqSetPIT2, s)
	return err
}

// ClockData is the guest's paravirtual clock and how it relates to the host's
// (struct kvm_clock_data, kvm-api KVM_GET_CLOCK).
type ClockData struct {
	_        structs.HostLayout
	Clock    uint64 // kvmclock, in ns
	Flags    ClockFlags
	_        uint32
	Realtime uint64 // host's CLOCK_REALTIME at the same moment, in ns
	HostTSC  uint64 // host's time stamp counter at the same moment
	_        [4]uint32
}

// ClockFlags say what of a [ClockData] is valid.
type ClockFlags uint32

const (
	ClockTSCStable ClockFlags = 1 << 1 // KVM_CLOCK_TSC_STABLE: all vCPUs see one clock; of Clock only
	ClockRealtime  ClockFlags = 1 << 2 // KVM_CLOCK_REALTIME: Realtime is valid; SetClock then adds the time gone by since
	ClockHostTSC   ClockFlags = 1 << 3 // KVM_CLOCK_HOST_TSC: HostTSC is valid
)

// Clock returns the guest's paravirtual clock.
func (vm *VM) Clock() (ClockData, error) {
	var d ClockData
	_, err := ioctl(vm.fd, reqGetClock, &d)
	return d, err
}

// SetClock sets the guest's paravirtual clock. Of Flags, only ClockRealtime is
// allowed (kvm-api KVM_SET_CLOCK).
func (vm *VM) SetClock(d ClockData) error {
	_, err := ioctl(vm.fd, reqSetClock, &d)
	return err
}
