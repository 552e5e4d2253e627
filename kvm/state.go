package kvm

import (
	"encoding/binary"
	"structs"
)

// FPU is a vCPU's x87 and SSE state (struct kvm_fpu, kvm-api KVM_GET_FPU).
// [VCPU.XSave] has that and all that came later.
type FPU struct {
	_          structs.HostLayout
	FPR        [8][16]uint8 // x87 registers, 80 bits each
	FCW, FSW   uint16       // control and status words
	FTWX       uint8        // tag word, as FXSAVE abridges it
	_          uint8
	LastOpcode uint16
	LastIP     uint64
	LastDP     uint64
	XMM        [16][16]uint8
	MXCSR      uint32
	_          uint32
}

// LAPICState is the register page of a vCPU's local APIC (struct
// kvm_lapic_state; SDM 3A table 11-1).
type LAPICState struct {
	_    structs.HostLayout
	Regs [0x400]uint8
}

// Reg returns the 32-bit register at a byte offset of the page.
//
// Preconditions: offset is that of a register, below 0x400.
func (s *LAPICState) Reg(offset uint32) uint32 {
	return binary.LittleEndian.Uint32(s.Regs[offset:])
}

// SetReg sets the 32-bit register at a byte offset of the page.
//
// Preconditions: offset is that of a register, below 0x400.
func (s *LAPICState) SetReg(offset, v uint32) {
	binary.LittleEndian.PutUint32(s.Regs[offset:], v)
}

// MPState is what a vCPU of a machine with many is doing (struct
// kvm_mp_state, kvm-api KVM_GET_MP_STATE).
type MPState uint32

const (
	MPRunnable      MPState = 0 // KVM_MP_STATE_RUNNABLE
	MPUninitialized MPState = 1 // KVM_MP_STATE_UNINITIALIZED: waits for an INIT
	MPInitReceived  MPState = 2 // KVM_MP_STATE_INIT_RECEIVED: waits for a start-up IPI
	MPHalted        MPState = 3 // KVM_MP_STATE_HALTED: in HLT
	MPSIPIReceived  MPState = 4 // KVM_MP_STATE_SIPI_RECEIVED: about to start
)

var mpStateNames = map[MPState]string{
	MPRunnable:      "KVM_MP_STATE_RUNNABLE",
	MPUninitialized: "KVM_MP_STATE_UNINITIALIZED",
	MPInitReceived:  "KVM_MP_STATE_INIT_RECEIVED",
	MPHalted:        "KVM_MP_STATE_HALTED",
	MPSIPIReceived:  "KVM_MP_STATE_SIPI_RECEIVED",
}

// String returns the name that the header gives to s.
func (s MPState) String() string { return nameOf(mpStateNames, s, "KVM_MP_STATE") }

// Events are a vCPU's exceptions and interrupts under way (struct
// kvm_vcpu_events, kvm-api KVM_GET_VCPU_EVENTS).
type Events struct {
	_         structs.HostLayout
	Exception struct {
		Injected     uint8
		Nr           uint8 // vector
		HasErrorCode uint8
		Pending      uint8
		ErrorCode    uint32
	}
	Interrupt struct {
		Injected uint8
		Nr       uint8 // vector
		Soft     uint8
		Shadow   uint8 // blocked for one instruction, by MOV SS or STI
	}
	NMI struct {
		Injected uint8
		Pending  uint8
		Masked   uint8
		_        uint8
	}
	SIPIVector uint32
	Flags      EventFlags // which of the fields are valid
	SMI        struct {
		SMM          uint8
		Pending      uint8
		SMMInsideNMI uint8
		LatchedInit  uint8
	}
	TripleFault struct {
		Pending uint8
	}
	_                   [26]uint8
	ExceptionHasPayload uint8
	ExceptionPayload    uint64
}

// EventFlags say which fields of [Events] SetEvents is to set.
type EventFlags uint32

const (
	EventsNMIPending  EventFlags = 1 << 0 // KVM_VCPUEVENT_VALID_NMI_PENDING
	EventsSIPIVector  EventFlags = 1 << 1 // KVM_VCPUEVENT_VALID_SIPI_VECTOR
	EventsShadow      EventFlags = 1 << 2 // KVM_VCPUEVENT_VALID_SHADOW
	EventsSMM         EventFlags = 1 << 3 // KVM_VCPUEVENT_VALID_SMM
	EventsPayload     EventFlags = 1 << 4 // KVM_VCPUEVENT_VALID_PAYLOAD
	EventsTripleFault EventFlags = 1 << 5 // KVM_VCPUEVENT_VALID_TRIPLE_FAULT
)

// DebugRegs are a vCPU's debug registers (struct kvm_debugregs).
type DebugRegs struct {
	_        structs.HostLayout
	DB       [4]uint64 // DR0-DR3
	DR6, DR7 uint64
	Flags    uint64 // none is defined
	_        [9]uint64
}

// xsaveArea is struct kvm_xsave, the part that every processor has.
type xsaveArea [4096]uint8

// An XCR is an extended control register (struct kvm_xcr; SDM 1 §13.3).
type XCR struct {
	_     structs.HostLayout
	Index uint32 // 0 for XCR0
	_     uint32
	Value uint64
}

// XCRs are a vCPU's extended control registers (struct kvm_xcrs).
type XCRs struct {
	_     structs.HostLayout
	N     uint32 // valid elements of XCR
	Flags uint32 // none is defined
	XCR   [16]XCR
	_     [16]uint64
}

// A Translation is what a linear address means to a vCPU (struct
// kvm_translation).
type Translation struct {
	_        structs.HostLayout
	Linear   uint64 // in
	Physical uint64 // guest-physical address
	Valid    uint8  // 0 if the guest's page tables have no such address
	Writable uint8  // KVM always says 1
	User     uint8  // KVM always says 0
	_        [5]uint8
}

// GuestDebug asks for exits to a debugger (struct kvm_guest_debug).
type GuestDebug struct {
	_        structs.HostLayout
	Control  DebugControl
	_        uint32
	DebugReg [8]uint64 // with DebugUseHWBreakpoints, DR0-DR7
}

// DebugControl is what a [GuestDebug] asks for.
type DebugControl uint32

const (
	DebugEnable           DebugControl = 1 << 0  // KVM_GUESTDBG_ENABLE: without it, the other bits do nothing
	DebugSingleStep       DebugControl = 1 << 1  // KVM_GUESTDBG_SINGLESTEP: exit after each instruction
	DebugUseSWBreakpoints DebugControl = 1 << 16 // KVM_GUESTDBG_USE_SW_BP: exit at int3
	DebugUseHWBreakpoints DebugControl = 1 << 17 // KVM_GUESTDBG_USE_HW_BP: exit at what DebugReg says
)
