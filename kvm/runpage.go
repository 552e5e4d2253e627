package kvm

import (
	"encoding/binary"
	"fmt"
)

// Struct kvm_run as the kernel fills it, by byte offset. The exit's own fields
// are a union at offExit.
const (
	offImmediateExit = 1    // u8, ours: do not enter the guest
	offExitReason    = 8    // u32
	offExit          = 32   // the union
	runSize          = 2352 // bytes of the whole struct

	offUnknownHardware = offExit + 0 // u64

	offFailEntryReason = offExit + 0 // u64
	offFailEntryCPU    = offExit + 8 // u32

	offIODirection = offExit + 0 // u8: 0 in, 1 out
	offIOSize      = offExit + 1 // u8: bytes an access
	offIOPort      = offExit + 2 // u16
	offIOCount     = offExit + 4 // u32: accesses
	offIOData      = offExit + 8 // u64: where the data is, from the start of the run page

	offDebugException = offExit + 0  // u32
	offDebugPC        = offExit + 8  // u64
	offDebugDR6       = offExit + 16 // u64
	offDebugDR7       = offExit + 24 // u64

	offMMIOAddr  = offExit + 0  // u64
	offMMIOData  = offExit + 8  // u8[8]
	offMMIOLen   = offExit + 16 // u32
	offMMIOWrite = offExit + 20 // u8

	offInternalSuberror = offExit + 0  // u32
	offInternalNData    = offExit + 4  // u32
	offInternalData     = offExit + 8  // u64[16]
	offEmulationFlags   = offExit + 8  // u64, with InternalErrorEmulation in the place of data
	offEmulationSize    = offExit + 16 // u8
	offEmulationBytes   = offExit + 17 // u8[15]

	offSystemEventType  = offExit + 0 // u32
	offSystemEventNData = offExit + 4 // u32
	offSystemEventData  = offExit + 8 // u64[16]

	offMSRError  = offExit + 0  // u8, ours: raise #GP
	offMSRReason = offExit + 8  // u32
	offMSRIndex  = offExit + 12 // u32
	offMSRData   = offExit + 16 // u64, ours on a read

	offMemoryFaultFlags = offExit + 0  // u64
	offMemoryFaultAddr  = offExit + 8  // u64
	offMemoryFaultSize  = offExit + 16 // u64
)

const (
	ioOut               = 1  // KVM_EXIT_IO_OUT
	maxData             = 16 // elements of internal.data and system_event.data
	maxMMIO             = 8  // bytes of mmio.data
	maxInstruction      = 15 // bytes of insn_bytes; SDM 2A §2.3.11: and of any instruction
	hasInstructionBytes = 1  // KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES
	instructionWords    = 3  // of ndata that flags, size and bytes take
)

// exits has room for one Exit of each kind, so that Run allocates nothing.
type exits struct {
	io            IOExit
	mmio          MMIOExit
	hlt           HLTExit
	shutdown      ShutdownExit
	systemEvent   SystemEventExit
	internalError InternalErrorExit
	failEntry     FailEntryExit
	debug         DebugExit
	interrupted   InterruptedExit
	memoryFault   MemoryFaultExit
	rdmsr         X86RDMSRExit
	wrmsr         X86WRMSRExit
	unknown       UnknownExit
	data          [maxData]uint64 // of systemEvent and internalError
}

// decode returns the Exit that the run page describes. An error means that the
// page cannot be KVM's.
//
// Preconditions: page has at least runSize bytes.
func (x *exits) decode(page []byte) (Exit, error) {
	reason := ExitReason(u32(page, offExitReason))
	switch reason {
	case ExitIO:
		return x.decodeIO(page)
	case ExitMMIO:
		return x.decodeMMIO(page)
	case ExitHLT:
		return &x.hlt, nil
	case ExitShutdown:
		return &x.shutdown, nil
	case ExitInternalError:
		return x.decodeInternalError(page), nil
	case ExitFailEntry:
		x.failEntry = FailEntryExit{u64(page, offFailEntryReason), u32(page, offFailEntryCPU)}
		return &x.failEntry, nil
	case ExitSystemEvent:
		x.systemEvent = SystemEventExit{
			Type: SystemEventType(u32(page, offSystemEventType)),
			Data: x.words(page, offSystemEventNData, offSystemEventData),
		}
		return &x.systemEvent, nil
	case ExitDebug:
		x.debug = DebugExit{
			Exception: u32(page, offDebugException),
			PC:        u64(page, offDebugPC),
			DR6:       u64(page, offDebugDR6),
			DR7:       u64(page, offDebugDR7),
		}
		return &x.debug, nil
	case ExitX86RDMSR:
		x.rdmsr = X86RDMSRExit{u32(page, offMSRIndex), MSRExitReason(u32(page, offMSRReason)), msrFields{page}}
		return &x.rdmsr, nil
	case ExitX86WRMSR:
		x.wrmsr = X86WRMSRExit{
			u32(page, offMSRIndex), MSRExitReason(u32(page, offMSRReason)), u64(page, offMSRData), msrFields{page},
		}
		return &x.wrmsr, nil
	}
	x.unknown = UnknownExit{Why: reason}
	if reason == ExitUnknown {
		x.unknown.HardwareReason = u64(page, offUnknownHardware)
	}
	return &x.unknown, nil
}

func (x *exits) decodeIO(page []byte) (Exit, error) {
	x.io = IOExit{
		Port:  binary.LittleEndian.Uint16(page[offIOPort:]),
		Out:   page[offIODirection] == ioOut,
		Size:  page[offIOSize],
		Count: u32(page, offIOCount),
	}
	start, n := u64(page, offIOData), uint64(x.io.Size)*uint64(x.io.Count)
	if end := uint64(len(page)); start > end || n > end-start {
		return nil, fmt.Errorf("kvm: KVM_EXIT_IO: %d bytes at %#x are not in the run page of %d", n, start, end)
	}
	x.io.Data = page[start : start+n : start+n]
	return &x.io, nil
}

func (x *exits) decodeMMIO(page []byte) (Exit, error) {
	n := u32(page, offMMIOLen)
	if n > maxMMIO {
		return nil, fmt.Errorf("kvm: KVM_EXIT_MMIO of %d bytes, at most %d are possible", n, maxMMIO)
	}
	end := offMMIOData + n
	x.mmio = MMIOExit{
		Addr:  u64(page, offMMIOAddr),
		Write: page[offMMIOWrite] != 0,
		Data:  page[offMMIOData:end:end],
	}
	return &x.mmio, nil
}

func (x *exits) decodeInternalError(page []byte) Exit {
	x.internalError = InternalErrorExit{
		Suberror: InternalError(u32(page, offInternalSuberror)),
		Data:     x.words(page, offInternalNData, offInternalData),
	}
	e := &x.internalError
	if e.Suberror == InternalErrorEmulation && len(e.Data) >= instructionWords &&
		u64(page, offEmulationFlags)&hasInstructionBytes != 0 {
		n := min(int(page[offEmulationSize]), maxInstruction)
		e.Instruction = page[offEmulationBytes : offEmulationBytes+n : offEmulationBytes+n]
	}
	return e
}

// words copies an array of 64-bit words whose length is at offCount.
func (x *exits) words(page []byte, offCount, offWords int) []uint64 {
	words := x.data[:min(u32(page, offCount), maxData)]
	for i := range words {
		words[i] = u64(page, offWords+8*i)
	}
	return words
}

// memoryFaultOf returns the MemoryFaultExit that the run page describes, or
// nil if it describes none.
func (x *exits) memoryFaultOf(page []byte) *MemoryFaultExit {
	if ExitReason(u32(page, offExitReason)) != ExitMemoryFault {
		return nil
	}
	x.memoryFault = MemoryFaultExit{
		Flags: u64(page, offMemoryFaultFlags),
		Addr:  u64(page, offMemoryFaultAddr),
		Size:  u64(page, offMemoryFaultSize),
	}
	return &x.memoryFault
}

// msrFields is the run page during an MSR exit: where the answer goes.
type msrFields struct{ page []byte }

func (m msrFields) answer(v uint64) {
	binary.LittleEndian.PutUint64(m.page[offMSRData:], v)
	m.page[offMSRError] = 0
}

func (m msrFields) fault() { m.page[offMSRError] = 1 }

func u32(page []byte, off int) uint32 { return binary.LittleEndian.Uint32(page[off:]) }
func u64(page []byte, off int) uint64 { return binary.LittleEndian.Uint64(page[off:]) }
