package kvm

import (
	"fmt"
	"slices"
	"structs"
)

// Model-specific registers (SDM 4 §2.1, AMD64 APM 2 appendix A; those of KVM:
// kernel Documentation/virt/kvm/x86/msr.rst).
const (
	MSRTSC          = 0x10       // IA32_TIME_STAMP_COUNTER
	MSRAPICBase     = 0x1b       // IA32_APIC_BASE
	MSRSysenterCS   = 0x174      // IA32_SYSENTER_CS
	MSRMiscEnable   = 0x1a0      // IA32_MISC_ENABLE
	MSRPAT          = 0x277      // IA32_PAT
	MSRMTRRDefType  = 0x2ff      // IA32_MTRR_DEF_TYPE
	MSRTSCDeadline  = 0x6e0      // IA32_TSC_DEADLINE
	MSREFER         = 0xc0000080 // IA32_EFER
	MSRKVMWallClock = 0x4b564d00 // MSR_KVM_WALL_CLOCK_NEW
	MSRKVMClock     = 0x4b564d01 // MSR_KVM_SYSTEM_TIME_NEW
)

// An MSREntry is a model-specific register and its value (struct
// kvm_msr_entry).
type MSREntry struct {
	_     structs.HostLayout
	Index uint32
	_     uint32
	Data  uint64
}

// msrsAtOnce is the most registers that KVM takes in one call, less one: its
// MAX_IO_MSRS is 256, and the call must have fewer.
const msrsAtOnce = 255

// MSRs returns the values of the registers with the given indexes, in their
// order. It is an error, which names it, if KVM does not know one (kvm-api
// KVM_GET_MSRS).
func (c *VCPU) MSRs(indexes ...uint32) ([]MSREntry, error) {
	entries := make([]MSREntry, len(indexes))
	for i, index := range indexes {
		entries[i].Index = index
	}
	return entries, c.eachMSRs(reqGetMSRs, entries)
}

// SetMSRs sets registers, in order. If KVM refuses one, those before it are
// set, and the error names it (kvm-api KVM_SET_MSRS).
func (c *VCPU) SetMSRs(entries []MSREntry) error {
	return c.eachMSRs(reqSetMSRs, entries)
}

// eachMSRs performs r on all entries, and leaves there what the kernel wrote.
func (c *VCPU) eachMSRs(r request, entries []MSREntry) error {
	for part := range slices.Chunk(entries, msrsAtOnce) {
		list := newCountedOf(part)
		done, err := ioctl(c.fd, r, list.header)
		if err != nil {
			return c.about(err)
		}
		copy(part, list.entries)
		// KVM stops at the first register that it refuses.
		if done < len(part) {
			return fmt.Errorf("kvm: %s vCPU %d: no MSR %#x, or not this value of it", r.name, c.id, part[done].Index)
		}
	}
	return nil
}
