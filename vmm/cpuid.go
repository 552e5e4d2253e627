package vmm

import (
	"fmt"
	"math/bits"
	"slices"

	"microvm/kvm"
)

// hostFeatures is what the host's KVM lets a guest see, the same for all of a
// machine's vCPUs but for their own numbers.
type hostFeatures struct {
	cpuid []kvm.CPUIDEntry
	cpus  uint32
}

// hostFeatures asks KVM for all that it supports, and takes away or adds what
// this machine has good reason to.
func (m *Machine) hostFeatures() (*hostFeatures, error) {
	entries, err := m.system.SupportedCPUID()
	if err != nil {
		return nil, err
	}
	deadline, err := m.system.Check(kvm.CapTSCDeadlineTimer)
	if err != nil {
		return nil, err
	}
	if err := m.checkAddressSize(entries); err != nil {
		return nil, err
	}
	f := &hostFeatures{cpuid: entries, cpus: uint32(m.config.CPUs)}
	f.adjust(deadline > 0)
	return f, nil
}

// checkAddressSize reports guest memory that ends beyond the physical addresses
// that the host's processor has.
func (m *Machine) checkAddressSize(host []kvm.CPUIDEntry) error {
	for _, e := range host {
		bits := e.EAX & 0xff
		if e.Function != leafAMDSizes || bits == 0 {
			continue
		}
		ranges := m.mem.Ranges()
		if last := ranges[len(ranges)-1]; uint64(last.Start)+last.Size > 1<<bits {
			return &ConfigError{Problems: []FieldError{{"memory", fmt.Sprintf(
				"%d GiB end beyond the %d bits of this processor's physical addresses; it can have up to %d GiB",
				m.config.Memory/GiB, bits, (uint64(1)<<bits-uint64(holeEnd-holeStart))/GiB)}}}
		}
	}
	return nil
}

// CPUID leaves that this machine changes (SDM 2A CPUID; AMD64 APM 3 appendix
// E).
const (
	leafMax         = 0x0
	leafFeatures    = 0x1
	leafCaches      = 0x4
	leafTopology    = 0xb
	leafTopologyV2  = 0x1f
	leafExtFeatures = 0x80000001
	leafAMDSizes    = 0x80000008
	leafAMDCaches   = 0x8000001d
	leafAMDTopology = 0x8000001e
)

// Bits of those leaves.
const (
	ecx1VMX         = 1 << 5  // leafFeatures ECX
	ecx1TSCDeadline = 1 << 24 // leafFeatures ECX
	ecx1Hypervisor  = 1 << 31 // leafFeatures ECX
	edx1HTT         = 1 << 28 // leafFeatures EDX: EBX counts more than one processor
	ecxExtCmpLegacy = 1 << 1  // leafExtFeatures ECX, AMD: more than one core
	ecxExtSVM       = 1 << 2  // leafExtFeatures ECX
)

// Levels of leafTopology (SDM 2A CPUID, leaf 0BH).
const (
	topologySMT  = 1
	topologyCore = 2
)

// adjust makes the processors of this machine out of the host's:
//
//   - VMX and SVM go: KVM in the guest is code of the host's kernel that a
//     hostile guest can reach, and needs asking for.
//   - The TSC deadline timer comes where KVM has it. KVM does not list it
//     because it depends on the in-kernel APIC, which we have. With it a guest
//     need not measure its APIC timer against another clock.
//   - The topology is one package of single-threaded cores.
func (f *hostFeatures) adjust(tscDeadline bool) {
	f.cpuid = slices.DeleteFunc(f.cpuid, func(e kvm.CPUIDEntry) bool {
		return e.Function == leafTopology || e.Function == leafTopologyV2
	})
	for i := range f.cpuid {
		e := &f.cpuid[i]
		switch e.Function {
		case leafMax:
			e.EAX = max(e.EAX, leafTopology)
		case leafFeatures:
			e.ECX = e.ECX&^ecx1VMX | ecx1Hypervisor
			if tscDeadline {
				e.ECX |= ecx1TSCDeadline
			}
			e.EBX = e.EBX&0x0000ffff | f.cpus<<16 // bits 23:16: processors in the package
			if f.cpus > 1 {
				e.EDX |= edx1HTT
			}
		case leafCaches:
			f.shareCache(e)
		case leafExtFeatures:
			e.ECX &^= ecxExtSVM
			if f.cpus > 1 {
				e.ECX |= ecxExtCmpLegacy
			}
		case leafAMDSizes:
			e.ECX = e.ECX&^0xf0ff | f.idBits()<<12 | (f.cpus - 1) // bits 15:12 ApicIdSize, 7:0 NC
		case leafAMDCaches:
			f.shareAMDCache(e)
		}
	}
}

// idBits is the number of APIC ID bits that tell the cores of the package
// apart.
func (f *hostFeatures) idBits() uint32 { return uint32(bits.Len32(f.cpus - 1)) }

// shareCache gives each core its own first and second level cache and all of
// them one third level (SDM 2A CPUID, leaf 04H).
func (f *hostFeatures) shareCache(e *kvm.CPUIDEntry) {
	if e.EAX&0x1f == 0 { // bits 4:0: no more caches
		return
	}
	sharing := uint32(1)
	if level := e.EAX >> 5 & 7; level >= 3 {
		sharing = 1 << f.idBits()
	}
	cores := uint32(1) << f.idBits()
	e.EAX = e.EAX&0x3fff | (sharing-1)<<14 | min(cores-1, 0x3f)<<26
}

// shareAMDCache does the same for AMD's leaf (AMD64 APM 3 §E.4.15).
func (f *hostFeatures) shareAMDCache(e *kvm.CPUIDEntry) {
	if e.EAX&0x1f == 0 {
		return
	}
	sharing := uint32(1)
	if level := e.EAX >> 5 & 7; level >= 3 {
		sharing = f.cpus
	}
	e.EAX = e.EAX&0x3fff | (sharing-1)<<14
}

// forCPU returns the CPUID of the processor with the given APIC ID.
func (f *hostFeatures) forCPU(apicID uint32) []kvm.CPUIDEntry {
	entries := slices.Clone(f.cpuid)
	for i := range entries {
		e := &entries[i]
		switch e.Function {
		case leafFeatures:
			e.EBX = e.EBX&0x00ffffff | apicID<<24 // bits 31:24: initial APIC ID
		case leafAMDTopology:
			e.EAX, e.EBX, e.ECX = apicID, apicID&0xff, 0 // extended APIC ID; core, one thread; node 0 of 1
		}
	}
	const significant = kvm.CPUIDSignificantIndex
	return append(entries,
		kvm.CPUIDEntry{Function: leafTopology, Index: 0, Flags: significant,
			EAX: 0, EBX: 1, ECX: topologySMT<<8 | 0, EDX: apicID},
		kvm.CPUIDEntry{Function: leafTopology, Index: 1, Flags: significant,
			EAX: f.idBits(), EBX: f.cpus, ECX: topologyCore<<8 | 1, EDX: apicID},
		kvm.CPUIDEntry{Function: leafTopology, Index: 2, Flags: significant, ECX: 2, EDX: apicID},
	)
}

// Fields of model-specific registers that a kernel finds set by a PC's firmware
// (SDM 4 §2.1).
const (
	miscEnableFastString = 1 << 0  // REP MOVS and STOS in cache lines, which Linux looks for
	mtrrEnable           = 1 << 11 // SDM 3A §12.11.2.1
	mtrrWriteBack        = 6       // default memory type: without it Linux distrusts all RAM
)

// Local vector table entries of the local APIC (SDM 3A §11.5.1), by offset in
// its register page, as firmware leaves them on the boot processor's board:
// the 8259's interrupt on LINT0, NMI on LINT1.
const (
	lvtLINT0 = 0x350
	lvtLINT1 = 0x360

	deliverNMI    = 4 << 8
	deliverExtINT = 7 << 8
)

// setUp gives c its features and the state that firmware would leave it in.
func (c *vcpu) setUp(f *hostFeatures) error {
	if err := c.fd.SetCPUID(f.forCPU(uint32(c.id))); err != nil {
		return err
	}
	misc, err := c.fd.MSRs(kvm.MSRMiscEnable)
	if err != nil {
		return err
	}
	err = c.fd.SetMSRs([]kvm.MSREntry{
		// KVM's other bits say which debug features there are not.
		{Index: kvm.MSRMiscEnable, Data: misc[0].Data | miscEnableFastString},
		{Index: kvm.MSRMTRRDefType, Data: mtrrEnable | mtrrWriteBack},
	})
	if err != nil {
		return err
	}
	apic, err := c.fd.LAPIC()
	if err != nil {
		return err
	}
	apic.SetReg(lvtLINT0, deliverExtINT)
	apic.SetReg(lvtLINT1, deliverNMI)
	return c.fd.SetLAPIC(&apic)
}

// A Need is a capability that a machine cannot do without, and what for.
type Need struct {
	Cap kvm.Cap
	Why string
}

// Needs are the capabilities of the host's KVM that every machine needs.
func Needs() []Need { return slices.Clone(needs) }

var needs = []Need{
	{kvm.CapIRQChip, "interrupt controllers"},
	{kvm.CapPIT2, "the timer"},
	{kvm.CapUserMemory, "guest memory"},
	{kvm.CapSetTSSAddr, "running on older Intel processors"},
	{kvm.CapSetIdentityMapAddr, "running on older Intel processors"},
	{kvm.CapExtCPUID, "telling the guest its processor's features"},
	{kvm.CapMPState, "more than one vCPU"},
	{kvm.CapImmediateExit, "stopping a vCPU"},
}

// checkHost reports what the host's KVM lacks for a machine of so many CPUs.
func checkHost(s *kvm.System, cpus int) error {
	for _, n := range needs {
		if have, err := s.Check(n.Cap); err != nil {
			return err
		} else if have == 0 {
			return fmt.Errorf("this host's KVM lacks %v, needed for %s; a newer kernel has it", n.Cap, n.Why)
		}
	}
	most, err := s.Check(kvm.CapMaxVCPUs)
	if err != nil {
		return err
	}
	if most > 0 && cpus > most {
		return &ConfigError{Problems: []FieldError{{"cpus", fmt.Sprintf("%d; this host's KVM allows %d", cpus, most)}}}
	}
	return nil
}
