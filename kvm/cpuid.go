package kvm

import (
	"errors"
	"structs"

	"golang.org/x/sys/unix"
)

// A CPUIDEntry is what the CPUID instruction answers for one leaf, and for
// some leaves one subleaf (struct kvm_cpuid_entry2; SDM 2A CPUID).
type CPUIDEntry struct {
	_                  structs.HostLayout
	Function           uint32 // the leaf, EAX of the instruction
	Index              uint32 // the subleaf, ECX of the instruction, if Flags say that it counts
	Flags              CPUIDFlags
	EAX, EBX, ECX, EDX uint32
	_                  [3]uint32
}

// CPUIDFlags say how KVM finds a [CPUIDEntry].
type CPUIDFlags uint32

// CPUIDSignificantIndex means that the leaf has subleaves
// (KVM_CPUID_FLAG_SIGNIFCANT_INDEX).
const CPUIDSignificantIndex CPUIDFlags = 1 << 0

// FindCPUID returns the entry for a leaf and, if it has subleaves, a subleaf,
// as the CPUID instruction would; nil if there is none. It points into
// entries.
func FindCPUID(entries []CPUIDEntry, function, index uint32) *CPUIDEntry {
	for i := range entries {
		e := &entries[i]
		if e.Function == function && (e.Index == index || e.Flags&CPUIDSignificantIndex == 0) {
			return e
		}
	}
	return nil
}

// cpuidRoom is how many entries the kernel is asked for: its own limit,
// KVM_MAX_CPUID_ENTRIES, unless a future one says E2BIG.
const cpuidRoom = 256

// cpuidEntries performs r, which fills a struct kvm_cpuid2.
func cpuidEntries(fd int, r request) ([]CPUIDEntry, error) {
	for room := cpuidRoom; ; room *= 2 {
		c := newCounted[CPUIDEntry](room)
		_, err := ioctl(fd, r, c.header)
		if err == nil {
			return c.entries[:min(c.header.N, uint32(room))], nil
		}
		if !errors.Is(err, unix.E2BIG) || room >= 1<<16 {
			return nil, err
		}
	}
}

// CPUID returns what the guest's CPUID instruction answers, entry by entry
// (kvm-api KVM_GET_CPUID2).
func (c *VCPU) CPUID() ([]CPUIDEntry, error) {
	entries, err := cpuidEntries(c.fd, reqGetCPUID2)
	return entries, c.about(err)
}

// SetCPUID sets what the guest's CPUID instruction answers, and with it which
// of KVM's features the guest may use. It must come before the vCPU first runs
// (kvm-api KVM_SET_CPUID2).
func (c *VCPU) SetCPUID(entries []CPUIDEntry) error {
	list := newCountedOf(entries)
	_, err := ioctl(c.fd, reqSetCPUID2, list.header)
	return c.about(err)
}
