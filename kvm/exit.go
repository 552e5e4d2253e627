package kvm

import "fmt"

// An Exit is why Run returned: one of the pointer types of this file. It
// belongs to the VCPU and is good until its next Run.
type Exit interface {
	Reason() ExitReason
	fmt.Stringer
}

// An IOExit is an access to an I/O port. A string instruction with a repeat
// prefix may come as one exit, with several accesses to the same port.
type IOExit struct {
	Port  uint16
	Out   bool   // the guest writes
	Size  uint8  // of one access in bytes: 1, 2 or 4
	Count uint32 // number of accesses
	Data  []byte // Size*Count bytes: what the guest wrote, or what it is to read
}

// An MMIOExit is an access to a guest-physical address without a memory slot,
// or a write to a read-only one.
type MMIOExit struct {
	Addr  uint64
	Write bool
	Data  []byte // 1 to 8 bytes: what the guest wrote, or what it is to read
}

// An HLTExit is a HLT instruction, in a VM without CreateIRQChip: with it, KVM
// itself waits for the next interrupt.
type HLTExit struct{}

// A ShutdownExit is a triple fault (SDM 3A §6.15, interrupt 8).
type ShutdownExit struct{}

// A SystemEventExit is the guest's wish, made known to KVM itself, to be shut
// down or reset.
type SystemEventExit struct {
	Type SystemEventType
	Data []uint64 // depends on Type
}

// SystemEventType is the kind of a [SystemEventExit].
type SystemEventType uint32

const (
	SystemEventShutdown SystemEventType = 1 // KVM_SYSTEM_EVENT_SHUTDOWN
	SystemEventReset    SystemEventType = 2 // KVM_SYSTEM_EVENT_RESET
	SystemEventCrash    SystemEventType = 3 // KVM_SYSTEM_EVENT_CRASH
	SystemEventWakeup   SystemEventType = 4 // KVM_SYSTEM_EVENT_WAKEUP
	SystemEventSuspend  SystemEventType = 5 // KVM_SYSTEM_EVENT_SUSPEND
	SystemEventSEVTerm  SystemEventType = 6 // KVM_SYSTEM_EVENT_SEV_TERM
)

var systemEventNames = map[SystemEventType]string{
	SystemEventShutdown: "KVM_SYSTEM_EVENT_SHUTDOWN",
	SystemEventReset:    "KVM_SYSTEM_EVENT_RESET",
	SystemEventCrash:    "KVM_SYSTEM_EVENT_CRASH",
	SystemEventWakeup:   "KVM_SYSTEM_EVENT_WAKEUP",
	SystemEventSuspend:  "KVM_SYSTEM_EVENT_SUSPEND",
	SystemEventSEVTerm:  "KVM_SYSTEM_EVENT_SEV_TERM",
}

// String returns the name that the header gives to t.
func (t SystemEventType) String() string { return nameOf(systemEventNames, t, "KVM_SYSTEM_EVENT") }

// An InternalErrorExit says that KVM does not know how to go on. The guest
// cannot be run further.
type InternalErrorExit struct {
	Suberror    InternalError
	Data        []uint64 // depends on Suberror, and on the host's kernel
	Instruction []byte   // with InternalErrorEmulation, the bytes at RIP that KVM could not emulate, if it says
}

// InternalError is the kind of an [InternalErrorExit].
type InternalError uint32

const (
	InternalErrorEmulation            InternalError = 1 // KVM_INTERNAL_ERROR_EMULATION: an instruction
	InternalErrorSimulEx              InternalError = 2 // KVM_INTERNAL_ERROR_SIMUL_EX: exceptions at once
	InternalErrorDeliveryEv           InternalError = 3 // KVM_INTERNAL_ERROR_DELIVERY_EV: an exit while delivering an event
	InternalErrorUnexpectedExitReason InternalError = 4 // KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: of the processor
)

var internalErrorNames = map[InternalError]string{
	InternalErrorEmulation:            "KVM_INTERNAL_ERROR_EMULATION",
	InternalErrorSimulEx:              "KVM_INTERNAL_ERROR_SIMUL_EX",
	InternalErrorDeliveryEv:           "KVM_INTERNAL_ERROR_DELIVERY_EV",
	InternalErrorUnexpectedExitReason: "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON",
}

// String returns the name that the header gives to e.
func (e InternalError) String() string { return nameOf(internalErrorNames, e, "KVM_INTERNAL_ERROR") }

// A FailEntryExit says that the processor refused to enter the guest, mostly
// because of registers that contradict one another.
type FailEntryExit struct {
	HardwareReason uint64 // Intel: SDM 3C §27.8, exit reason; AMD: exit code
	CPU            uint32 // the host's processor
}

// A DebugExit is what [VCPU.SetGuestDebug] asked for.
type DebugExit struct {
	Exception uint32 // vector: 1 for a single step or a breakpoint in a debug register, 3 for int3
	PC        uint64 // linear address of the instruction
	DR6, DR7  uint64 // SDM 3B §18.2
}

// An InterruptedExit is the work of [VCPU.Kick].
type InterruptedExit struct{}

// A MemoryFaultExit is an access to guest memory that the host could not
// resolve, such as to a page whose file was cut off.
type MemoryFaultExit struct {
	Flags uint64 // KVM_MEMORY_EXIT_FLAG_ constants
	Addr  uint64 // guest-physical
	Size  uint64 // in bytes
}

// An X86RDMSRExit is a RDMSR that KVM leaves to this process
// ([CapX86UserSpaceMSR]). It must be given to Answer or Fault.
type X86RDMSRExit struct {
	Index uint32
	Why   MSRExitReason
	msr   msrFields
}

// Answer makes the guest read v.
func (e *X86RDMSRExit) Answer(v uint64) { e.msr.answer(v) }

// Fault makes the guest's instruction a general protection fault.
func (e *X86RDMSRExit) Fault() { e.msr.fault() }

// An X86WRMSRExit is a WRMSR that KVM leaves to this process
// ([CapX86UserSpaceMSR]). It succeeds unless it is given to Fault.
type X86WRMSRExit struct {
	Index uint32
	Why   MSRExitReason
	Data  uint64 // what the guest writes
	msr   msrFields
}

// Fault makes the guest's instruction a general protection fault.
func (e *X86WRMSRExit) Fault() { e.msr.fault() }

// MSRExitReason is why KVM leaves a register to this process, and what
// EnableCap takes for [CapX86UserSpaceMSR].
type MSRExitReason uint32

const (
	MSRExitInvalid MSRExitReason = 1 << 0 // KVM_MSR_EXIT_REASON_INVAL: KVM would not allow the access
	MSRExitUnknown MSRExitReason = 1 << 1 // KVM_MSR_EXIT_REASON_UNKNOWN: KVM does not know the register
	MSRExitFilter  MSRExitReason = 1 << 2 // KVM_MSR_EXIT_REASON_FILTER: a filter excludes the register
)

// An UnknownExit is any other, which this package has no type for.
type UnknownExit struct {
	Why            ExitReason
	HardwareReason uint64 // with ExitUnknown, the processor's own reason
}

func (*IOExit) Reason() ExitReason            { return ExitIO }
func (*MMIOExit) Reason() ExitReason          { return ExitMMIO }
func (*HLTExit) Reason() ExitReason           { return ExitHLT }
func (*ShutdownExit) Reason() ExitReason      { return ExitShutdown }
func (*SystemEventExit) Reason() ExitReason   { return ExitSystemEvent }
func (*InternalErrorExit) Reason() ExitReason { return ExitInternalError }
func (*FailEntryExit) Reason() ExitReason     { return ExitFailEntry }
func (*DebugExit) Reason() ExitReason         { return ExitDebug }
func (*InterruptedExit) Reason() ExitReason   { return ExitIntr }
func (*MemoryFaultExit) Reason() ExitReason   { return ExitMemoryFault }
func (*X86RDMSRExit) Reason() ExitReason      { return ExitX86RDMSR }
func (*X86WRMSRExit) Reason() ExitReason      { return ExitX86WRMSR }
func (e *UnknownExit) Reason() ExitReason     { return e.Why }

func (e *IOExit) String() string {
	if e.Out {
		return fmt.Sprintf("KVM_EXIT_IO out port %#x, %d of %d bytes: % x", e.Port, e.Count, e.Size, e.Data)
	}
	return fmt.Sprintf("KVM_EXIT_IO in port %#x, %d of %d bytes", e.Port, e.Count, e.Size)
}

func (e *MMIOExit) String() string {
	if e.Write {
		return fmt.Sprintf("KVM_EXIT_MMIO write %#x: % x", e.Addr, e.Data)
	}
	return fmt.Sprintf("KVM_EXIT_MMIO read %#x, %d bytes", e.Addr, len(e.Data))
}

func (*HLTExit) String() string      { return ExitHLT.String() }
func (*ShutdownExit) String() string { return ExitShutdown.String() }

func (e *SystemEventExit) String() string {
	return fmt.Sprintf("%v, data %#x", e.Type, e.Data)
}

func (e *InternalErrorExit) String() string {
	if len(e.Instruction) > 0 {
		return fmt.Sprintf("%v, instruction % x", e.Suberror, e.Instruction)
	}
	return fmt.Sprintf("%v, data %#x", e.Suberror, e.Data)
}

func (e *FailEntryExit) String() string {
	return fmt.Sprintf("KVM_EXIT_FAIL_ENTRY, hardware reason %#x on host CPU %d", e.HardwareReason, e.CPU)
}

func (e *DebugExit) String() string {
	return fmt.Sprintf("KVM_EXIT_DEBUG, exception %d at %#x, DR6 %#x, DR7 %#x", e.Exception, e.PC, e.DR6, e.DR7)
}

func (*InterruptedExit) String() string { return ExitIntr.String() }

func (e *MemoryFaultExit) String() string {
	return fmt.Sprintf("KVM_EXIT_MEMORY_FAULT, %d bytes at %#x, flags %#x", e.Size, e.Addr, e.Flags)
}

func (e *X86RDMSRExit) String() string {
	return fmt.Sprintf("KVM_EXIT_X86_RDMSR %#x, reason %d", e.Index, e.Why)
}

func (e *X86WRMSRExit) String() string {
	return fmt.Sprintf("KVM_EXIT_X86_WRMSR %#x = %#x, reason %d", e.Index, e.Data, e.Why)
}

func (e *UnknownExit) String() string {
	return fmt.Sprintf("%v, hardware reason %#x", e.Why, e.HardwareReason)
}
