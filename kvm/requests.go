package kvm

import "golang.org/x/sys/unix"

// The ioctls, in the header's order of file descriptor and number.
// kvm-api §4 describes each under its name.

// Of /dev/kvm.
var (
	reqGetAPIVersion      = ioNone("KVM_GET_API_VERSION", 0x00)
	reqCreateVM           = ioNone("KVM_CREATE_VM", 0x01)
	reqGetMSRIndexList    = ioWR[uint32]("KVM_GET_MSR_INDEX_LIST", 0x02)
	reqCheckExtension     = ioNone("KVM_CHECK_EXTENSION", 0x03) // of a VM too
	reqGetVCPUMmapSize    = ioNone("KVM_GET_VCPU_MMAP_SIZE", 0x04)
	reqGetSupportedCPUID  = ioWR[countHeader]("KVM_GET_SUPPORTED_CPUID", 0x05)
	reqGetEmulatedCPUID   = ioWR[countHeader]("KVM_GET_EMULATED_CPUID", 0x09)
	reqGetMSRFeatureIndex = ioWR[uint32]("KVM_GET_MSR_FEATURE_INDEX_LIST", 0x0a)
)

// Of a VM.
var (
	reqCreateVCPU            = ioNone("KVM_CREATE_VCPU", 0x41)
	reqGetDirtyLog           = ioW[dirtyLog]("KVM_GET_DIRTY_LOG", 0x42)
	reqSetUserMemoryRegion   = ioW[MemoryRegion]("KVM_SET_USER_MEMORY_REGION", 0x46)
	reqSetTSSAddr            = ioNone("KVM_SET_TSS_ADDR", 0x47)
	reqSetIdentityMapAddr    = ioW[uint64]("KVM_SET_IDENTITY_MAP_ADDR", 0x48)
	reqCreateIRQChip         = ioNone("KVM_CREATE_IRQCHIP", 0x60)
	reqIRQLine               = ioW[irqLevel]("KVM_IRQ_LINE", 0x61)
	reqGetIRQChip            = ioWR[IRQChipState]("KVM_GET_IRQCHIP", 0x62)
	reqSetIRQChip            = ioR[IRQChipState]("KVM_SET_IRQCHIP", 0x63) // _IOR in the header, though the kernel reads it
	reqRegisterCoalescedMMIO = ioW[coalescedZone]("KVM_REGISTER_COALESCED_MMIO", 0x67)
	reqSetGSIRouting         = ioW[countHeader]("KVM_SET_GSI_ROUTING", 0x6a)
	reqIRQFD                 = ioW[irqfd]("KVM_IRQFD", 0x76)
	reqCreatePIT2            = ioW[pitConfig]("KVM_CREATE_PIT2", 0x77)
	reqIOEventFD             = ioW[ioeventfd]("KVM_IOEVENTFD", 0x79)
	reqSetClock              = ioW[ClockData]("KVM_SET_CLOCK", 0x7b)
	reqGetClock              = ioR[ClockData]("KVM_GET_CLOCK", 0x7c)
	reqGetPIT2               = ioR[PITState]("KVM_GET_PIT2", 0x9f)
	reqSetPIT2               = ioW[PITState]("KVM_SET_PIT2", 0xa0)
	reqSignalMSI             = ioW[msi]("KVM_SIGNAL_MSI", 0xa5)
	reqEnableCap             = ioW[enableCap]("KVM_ENABLE_CAP", 0xa3)
)

// Of a vCPU.
var (
	reqGetStatsFD    = ioNone("KVM_GET_STATS_FD", 0xce)
	reqRun           = ioNone("KVM_RUN", 0x80)
	reqGetRegs       = ioR[Regs]("KVM_GET_REGS", 0x81)
	reqSetRegs       = ioW[Regs]("KVM_SET_REGS", 0x82)
	reqGetSregs      = ioR[Sregs]("KVM_GET_SREGS", 0x83)
	reqSetSregs      = ioW[Sregs]("KVM_SET_SREGS", 0x84)
	reqTranslate     = ioWR[Translation]("KVM_TRANSLATE", 0x85)
	reqGetMSRs       = ioWR[countHeader]("KVM_GET_MSRS", 0x88)
	reqSetMSRs       = ioW[countHeader]("KVM_SET_MSRS", 0x89)
	reqGetFPU        = ioR[FPU]("KVM_GET_FPU", 0x8c)
	reqSetFPU        = ioW[FPU]("KVM_SET_FPU", 0x8d)
	reqGetLAPIC      = ioR[LAPICState]("KVM_GET_LAPIC", 0x8e)
	reqSetLAPIC      = ioW[LAPICState]("KVM_SET_LAPIC", 0x8f)
	reqSetCPUID2     = ioW[countHeader]("KVM_SET_CPUID2", 0x90)
	reqGetCPUID2     = ioWR[countHeader]("KVM_GET_CPUID2", 0x91)
	reqGetMPState    = ioR[MPState]("KVM_GET_MP_STATE", 0x98)
	reqSetMPState    = ioW[MPState]("KVM_SET_MP_STATE", 0x99)
	reqNMI           = ioNone("KVM_NMI", 0x9a)
	reqSetGuestDebug = ioW[GuestDebug]("KVM_SET_GUEST_DEBUG", 0x9b)
	reqGetVCPUEvents = ioR[Events]("KVM_GET_VCPU_EVENTS", 0x9f)
	reqSetVCPUEvents = ioW[Events]("KVM_SET_VCPU_EVENTS", 0xa0)
	reqGetDebugRegs  = ioR[DebugRegs]("KVM_GET_DEBUGREGS", 0xa1)
	reqSetDebugRegs  = ioW[DebugRegs]("KVM_SET_DEBUGREGS", 0xa2)
	reqSetTSCKHz     = ioNone("KVM_SET_TSC_KHZ", 0xa2)
	reqGetTSCKHz     = ioNone("KVM_GET_TSC_KHZ", 0xa3)
	reqGetXSave      = ioR[xsaveArea]("KVM_GET_XSAVE", 0xa4)
	reqSetXSave      = ioW[xsaveArea]("KVM_SET_XSAVE", 0xa5)
	reqGetXCRs       = ioR[XCRs]("KVM_GET_XCRS", 0xa6)
	reqSetXCRs       = ioW[XCRs]("KVM_SET_XCRS", 0xa7)
	reqKVMClockCtrl  = ioNone("KVM_KVMCLOCK_CTRL", 0xad)
	reqSMI           = ioNone("KVM_SMI", 0xb7)
	reqGetXSave2     = ioR[xsaveArea]("KVM_GET_XSAVE2", 0xcf)
)

// closeFD closes what is named. The descriptor is gone even if the kernel
// reports an error, so it is never closed twice.
func closeFD(what string, fd *int) error {
	if *fd < 0 {
		return nil
	}
	err := unix.Close(*fd)
	*fd = -1
	if err != nil {
		return &Error{Op: "close " + what, Err: err}
	}
	return nil
}
