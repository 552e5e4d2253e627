package kvm

import "structs"

// Regs are a vCPU's general registers (struct kvm_regs, kvm-api KVM_GET_REGS).
type Regs struct {
	_                                      structs.HostLayout
	RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11, R12, R13, R14, R15   uint64
	RIP, RFLAGS                            uint64
}

// A Segment is a segment register with its hidden part (struct kvm_segment;
// the fields of a descriptor, SDM 3A §3.4.5).
type Segment struct {
	_        structs.HostLayout
	Base     uint64
	Limit    uint32 // in bytes, inclusive
	Selector uint16
	Type     uint8 // type field: access rights of code and data, or kind of system segment
	Present  uint8
	DPL      uint8 // descriptor privilege level
	DB       uint8 // default operation size is 32 bits
	S        uint8 // code or data, not system
	L        uint8 // 64-bit code
	G        uint8 // limit counts in 4 KiB
	AVL      uint8
	Unusable uint8
	_        uint8
}

// A DTable is GDTR or IDTR (struct kvm_dtable).
type DTable struct {
	_     structs.HostLayout
	Base  uint64
	Limit uint16 // in bytes, inclusive
	_     [3]uint16
}

// Sregs are a vCPU's special registers (struct kvm_sregs, kvm-api
// KVM_GET_SREGS).
type Sregs struct {
	_                       structs.HostLayout
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                DTable
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	InterruptBitmap         [4]uint64 // bit n: external interrupt n is pending; at most one is
}
