package kvm

// A Cap is a capability of the host's KVM, to be asked for with Check
// (KVM_CAP_ constants of the header; kvm-api §8 and under each ioctl). Those
// of other processors than x86 are left out.
type Cap uint32

const (
	CapIRQChip                Cap = 0
	CapHLT                    Cap = 1
	CapUserMemory             Cap = 3
	CapSetTSSAddr             Cap = 4
	CapVAPIC                  Cap = 6
	CapExtCPUID               Cap = 7
	CapClockSource            Cap = 8
	CapNrVCPUs                Cap = 9
	CapNrMemSlots             Cap = 10
	CapPIT                    Cap = 11
	CapMPState                Cap = 14
	CapCoalescedMMIO          Cap = 15
	CapSyncMMU                Cap = 16
	CapUserNMI                Cap = 22
	CapSetGuestDebug          Cap = 23
	CapReinjectControl        Cap = 24
	CapIRQRouting             Cap = 25
	CapIRQInjectStatus        Cap = 26
	CapMCE                    Cap = 31
	CapIRQFD                  Cap = 32
	CapPIT2                   Cap = 33
	CapSetBootCPUID           Cap = 34
	CapPITState2              Cap = 35
	CapIOEventFD              Cap = 36
	CapSetIdentityMapAddr     Cap = 37
	CapXenHVM                 Cap = 38
	CapAdjustClock            Cap = 39
	CapInternalErrorData      Cap = 40
	CapVCPUEvents             Cap = 41
	CapHyperV                 Cap = 44
	CapHyperVVAPIC            Cap = 45
	CapHyperVSpin             Cap = 46
	CapIntrShadow             Cap = 49
	CapDebugRegs              Cap = 50
	CapX86RobustSingleStep    Cap = 51
	CapEnableCap              Cap = 54
	CapXSave                  Cap = 55
	CapXCRs                   Cap = 56
	CapAsyncPF                Cap = 59
	CapTSCControl             Cap = 60
	CapGetTSCKHz              Cap = 61
	CapMaxVCPUs               Cap = 66
	CapTSCDeadlineTimer       Cap = 72
	CapSyncRegs               Cap = 74
	CapKVMClockCtrl           Cap = 76
	CapSignalMSI              Cap = 77
	CapReadOnlyMem            Cap = 81
	CapIRQFDResample          Cap = 82
	CapDeviceCtrl             Cap = 89
	CapExtEmulCPUID           Cap = 95
	CapHyperVTime             Cap = 96
	CapIOAPICPolarityIgnored  Cap = 97
	CapEnableCapVM            Cap = 98
	CapIOEventFDNoLength      Cap = 100
	CapVMAttributes           Cap = 101
	CapCheckExtensionVM       Cap = 105
	CapDisableQuirks          Cap = 116
	CapX86SMM                 Cap = 117
	CapGuestDebugHWBPS        Cap = 119
	CapGuestDebugHWWPS        Cap = 120
	CapSplitIRQChip           Cap = 121
	CapIOEventFDAnyLength     Cap = 122
	CapHyperVSynIC            Cap = 123
	CapVCPUAttributes         Cap = 127
	CapMaxVCPUID              Cap = 128
	CapX2APICAPI              Cap = 129
	CapMSIDevid               Cap = 131
	CapImmediateExit          Cap = 136
	CapX86DisableExits        Cap = 143
	CapHyperVSynIC2           Cap = 148
	CapHyperVVPIndex          Cap = 149
	CapGetMSRFeatures         Cap = 153
	CapHyperVEventFD          Cap = 154
	CapHyperVTLBFlush         Cap = 155
	CapNestedState            Cap = 157
	CapMSRPlatformInfo        Cap = 159
	CapHyperVSendIPI          Cap = 161
	CapCoalescedPIO           Cap = 162
	CapHyperVEnlightenedVMCS  Cap = 163
	CapExceptionPayload       Cap = 164
	CapManualDirtyLogProtect  Cap = 166
	CapHyperVCPUID            Cap = 167
	CapManualDirtyLogProtect2 Cap = 168
	CapPMUEventFilter         Cap = 173
	CapHyperVDirectTLBFlush   Cap = 175
	CapHaltPoll               Cap = 182
	CapAsyncPFInt             Cap = 183
	CapSmallerMaxPhyAddr      Cap = 185
	CapX86UserSpaceMSR        Cap = 188
	CapX86MSRFilter           Cap = 189
	CapEnforcePVFeatureCPUID  Cap = 190
	CapSysHyperVCPUID         Cap = 191
	CapDirtyLogRing           Cap = 192
	CapX86BusLockExit         Cap = 193
	CapSetGuestDebug2         Cap = 195
	CapSGXAttribute           Cap = 196
	CapVMCopyEncContextFrom   Cap = 197
	CapHyperVEnforceCPUID     Cap = 199
	CapSregs2                 Cap = 200
	CapExitHypercall          Cap = 201
	CapBinaryStatsFD          Cap = 203
	CapExitOnEmulationFailure Cap = 204
	CapVMMoveEncContextFrom   Cap = 206
	CapVMGPABits              Cap = 207
	CapXSave2                 Cap = 208
	CapSysAttributes          Cap = 209
	CapPMUCapability          Cap = 212
	CapDisableQuirks2         Cap = 213
	CapVMTSCControl           Cap = 214
	CapSystemEventData        Cap = 215
	CapX86TripleFaultEvent    Cap = 218
	CapX86NotifyVMExit        Cap = 219
	CapVMDisableNXHugePages   Cap = 220
	CapDirtyLogRingAcqRel     Cap = 223
)

// String returns the name that the header gives to c.
func (c Cap) String() string { return nameOf(capNames, c, "KVM_CAP") }

var capNames = map[Cap]string{
	CapIRQChip:                "KVM_CAP_IRQCHIP",
	CapHLT:                    "KVM_CAP_HLT",
	CapUserMemory:             "KVM_CAP_USER_MEMORY",
	CapSetTSSAddr:             "KVM_CAP_SET_TSS_ADDR",
	CapVAPIC:                  "KVM_CAP_VAPIC",
	CapExtCPUID:               "KVM_CAP_EXT_CPUID",
	CapClockSource:            "KVM_CAP_CLOCKSOURCE",
	CapNrVCPUs:                "KVM_CAP_NR_VCPUS",
	CapNrMemSlots:             "KVM_CAP_NR_MEMSLOTS",
	CapPIT:                    "KVM_CAP_PIT",
	CapMPState:                "KVM_CAP_MP_STATE",
	CapCoalescedMMIO:          "KVM_CAP_COALESCED_MMIO",
	CapSyncMMU:                "KVM_CAP_SYNC_MMU",
	CapUserNMI:                "KVM_CAP_USER_NMI",
	CapSetGuestDebug:          "KVM_CAP_SET_GUEST_DEBUG",
	CapReinjectControl:        "KVM_CAP_REINJECT_CONTROL",
	CapIRQRouting:             "KVM_CAP_IRQ_ROUTING",
	CapIRQInjectStatus:        "KVM_CAP_IRQ_INJECT_STATUS",
	CapMCE:                    "KVM_CAP_MCE",
	CapIRQFD:                  "KVM_CAP_IRQFD",
	CapPIT2:                   "KVM_CAP_PIT2",
	CapSetBootCPUID:           "KVM_CAP_SET_BOOT_CPU_ID",
	CapPITState2:              "KVM_CAP_PIT_STATE2",
	CapIOEventFD:              "KVM_CAP_IOEVENTFD",
	CapSetIdentityMapAddr:     "KVM_CAP_SET_IDENTITY_MAP_ADDR",
	CapXenHVM:                 "KVM_CAP_XEN_HVM",
	CapAdjustClock:            "KVM_CAP_ADJUST_CLOCK",
	CapInternalErrorData:      "KVM_CAP_INTERNAL_ERROR_DATA",
	CapVCPUEvents:             "KVM_CAP_VCPU_EVENTS",
	CapHyperV:                 "KVM_CAP_HYPERV",
	CapHyperVVAPIC:            "KVM_CAP_HYPERV_VAPIC",
	CapHyperVSpin:             "KVM_CAP_HYPERV_SPIN",
	CapIntrShadow:             "KVM_CAP_INTR_SHADOW",
	CapDebugRegs:              "KVM_CAP_DEBUGREGS",
	CapX86RobustSingleStep:    "KVM_CAP_X86_ROBUST_SINGLESTEP",
	CapEnableCap:              "KVM_CAP_ENABLE_CAP",
	CapXSave:                  "KVM_CAP_XSAVE",
	CapXCRs:                   "KVM_CAP_XCRS",
	CapAsyncPF:                "KVM_CAP_ASYNC_PF",
	CapTSCControl:             "KVM_CAP_TSC_CONTROL",
	CapGetTSCKHz:              "KVM_CAP_GET_TSC_KHZ",
	CapMaxVCPUs:               "KVM_CAP_MAX_VCPUS",
	CapTSCDeadlineTimer:       "KVM_CAP_TSC_DEADLINE_TIMER",
	CapSyncRegs:               "KVM_CAP_SYNC_REGS",
	CapKVMClockCtrl:           "KVM_CAP_KVMCLOCK_CTRL",
	CapSignalMSI:              "KVM_CAP_SIGNAL_MSI",
	CapReadOnlyMem:            "KVM_CAP_READONLY_MEM",
	CapIRQFDResample:          "KVM_CAP_IRQFD_RESAMPLE",
	CapDeviceCtrl:             "KVM_CAP_DEVICE_CTRL",
	CapExtEmulCPUID:           "KVM_CAP_EXT_EMUL_CPUID",
	CapHyperVTime:             "KVM_CAP_HYPERV_TIME",
	CapIOAPICPolarityIgnored:  "KVM_CAP_IOAPIC_POLARITY_IGNORED",
	CapEnableCapVM:            "KVM_CAP_ENABLE_CAP_VM",
	CapIOEventFDNoLength:      "KVM_CAP_IOEVENTFD_NO_LENGTH",
	CapVMAttributes:           "KVM_CAP_VM_ATTRIBUTES",
	CapCheckExtensionVM:       "KVM_CAP_CHECK_EXTENSION_VM",
	CapDisableQuirks:          "KVM_CAP_DISABLE_QUIRKS",
	CapX86SMM:                 "KVM_CAP_X86_SMM",
	CapGuestDebugHWBPS:        "KVM_CAP_GUEST_DEBUG_HW_BPS",
	CapGuestDebugHWWPS:        "KVM_CAP_GUEST_DEBUG_HW_WPS",
	CapSplitIRQChip:           "KVM_CAP_SPLIT_IRQCHIP",
	CapIOEventFDAnyLength:     "KVM_CAP_IOEVENTFD_ANY_LENGTH",
	CapHyperVSynIC:            "KVM_CAP_HYPERV_SYNIC",
	CapVCPUAttributes:         "KVM_CAP_VCPU_ATTRIBUTES",
	CapMaxVCPUID:              "KVM_CAP_MAX_VCPU_ID",
	CapX2APICAPI:              "KVM_CAP_X2APIC_API",
	CapMSIDevid:               "KVM_CAP_MSI_DEVID",
	CapImmediateExit:          "KVM_CAP_IMMEDIATE_EXIT",
	CapX86DisableExits:        "KVM_CAP_X86_DISABLE_EXITS",
	CapHyperVSynIC2:           "KVM_CAP_HYPERV_SYNIC2",
	CapHyperVVPIndex:          "KVM_CAP_HYPERV_VP_INDEX",
	CapGetMSRFeatures:         "KVM_CAP_GET_MSR_FEATURES",
	CapHyperVEventFD:          "KVM_CAP_HYPERV_EVENTFD",
	CapHyperVTLBFlush:         "KVM_CAP_HYPERV_TLBFLUSH",
	CapNestedState:            "KVM_CAP_NESTED_STATE",
	CapMSRPlatformInfo:        "KVM_CAP_MSR_PLATFORM_INFO",
	CapHyperVSendIPI:          "KVM_CAP_HYPERV_SEND_IPI",
	CapCoalescedPIO:           "KVM_CAP_COALESCED_PIO",
	CapHyperVEnlightenedVMCS:  "KVM_CAP_HYPERV_ENLIGHTENED_VMCS",
	CapExceptionPayload:       "KVM_CAP_EXCEPTION_PAYLOAD",
	CapManualDirtyLogProtect:  "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT",
	CapHyperVCPUID:            "KVM_CAP_HYPERV_CPUID",
	CapManualDirtyLogProtect2: "KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2",
	CapPMUEventFilter:         "KVM_CAP_PMU_EVENT_FILTER",
	CapHyperVDirectTLBFlush:   "KVM_CAP_HYPERV_DIRECT_TLBFLUSH",
	CapHaltPoll:               "KVM_CAP_HALT_POLL",
	CapAsyncPFInt:             "KVM_CAP_ASYNC_PF_INT",
	CapSmallerMaxPhyAddr:      "KVM_CAP_SMALLER_MAXPHYADDR",
	CapX86UserSpaceMSR:        "KVM_CAP_X86_USER_SPACE_MSR",
	CapX86MSRFilter:           "KVM_CAP_X86_MSR_FILTER",
	CapEnforcePVFeatureCPUID:  "KVM_CAP_ENFORCE_PV_FEATURE_CPUID",
	CapSysHyperVCPUID:         "KVM_CAP_SYS_HYPERV_CPUID",
	CapDirtyLogRing:           "KVM_CAP_DIRTY_LOG_RING",
	CapX86BusLockExit:         "KVM_CAP_X86_BUS_LOCK_EXIT",
	CapSetGuestDebug2:         "KVM_CAP_SET_GUEST_DEBUG2",
	CapSGXAttribute:           "KVM_CAP_SGX_ATTRIBUTE",
	CapVMCopyEncContextFrom:   "KVM_CAP_VM_COPY_ENC_CONTEXT_FROM",
	CapHyperVEnforceCPUID:     "KVM_CAP_HYPERV_ENFORCE_CPUID",
	CapSregs2:                 "KVM_CAP_SREGS2",
	CapExitHypercall:          "KVM_CAP_EXIT_HYPERCALL",
	CapBinaryStatsFD:          "KVM_CAP_BINARY_STATS_FD",
	CapExitOnEmulationFailure: "KVM_CAP_EXIT_ON_EMULATION_FAILURE",
	CapVMMoveEncContextFrom:   "KVM_CAP_VM_MOVE_ENC_CONTEXT_FROM",
	CapVMGPABits:              "KVM_CAP_VM_GPA_BITS",
	CapXSave2:                 "KVM_CAP_XSAVE2",
	CapSysAttributes:          "KVM_CAP_SYS_ATTRIBUTES",
	CapPMUCapability:          "KVM_CAP_PMU_CAPABILITY",
	CapDisableQuirks2:         "KVM_CAP_DISABLE_QUIRKS2",
	CapVMTSCControl:           "KVM_CAP_VM_TSC_CONTROL",
	CapSystemEventData:        "KVM_CAP_SYSTEM_EVENT_DATA",
	CapX86TripleFaultEvent:    "KVM_CAP_X86_TRIPLE_FAULT_EVENT",
	CapX86NotifyVMExit:        "KVM_CAP_X86_NOTIFY_VMEXIT",
	CapVMDisableNXHugePages:   "KVM_CAP_VM_DISABLE_NX_HUGE_PAGES",
	CapDirtyLogRingAcqRel:     "KVM_CAP_DIRTY_LOG_RING_ACQ_REL",
}
