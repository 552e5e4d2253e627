// Package kvm is the Linux kernel's KVM API: one method an ioctl, exits as
// types, numbers by the names of the kernel's header, and no policy. The
// specification is the kernel's Documentation/virt/kvm/api.rst, cited as
// "kvm-api" with the ioctl or section.
//
// # The life of a VM
//
// Three kinds of file descriptor, each made by the one before. The order of
// the calls is KVM's, or saves time where it says so:
//
//	Open ── /dev/kvm
//	│ System     Check, SupportedCPUID, MSRs         what the host offers
//	│
//	└─ CreateVM ── a VM, with nothing in it
//	   │ VM      SetUserMemoryRegion                 RAM. Before CreateIRQChip: afterwards each
//	   │                                             slot may wait for a grace period of the kernel
//	   │         SetIdentityMapAddr, SetTSSAddr      pages that Intel processors without
//	   │                                             "unrestricted guest" need; before the first vCPU
//	   │         CreateIRQChip                       PICs, I/O APIC, and a local APIC in each vCPU
//	   │                                             to come: so before the first of them
//	   │         CreatePIT2                          the timer, wired to the PIC and the I/O APIC:
//	   │                                             so after them
//	   │         IRQFD, IOEventFD, SetGSIRouting     devices' interrupts and notifications; at any time
//	   │
//	   ├─ CreateVCPU(0) ── a processor after reset, ready to run
//	   │    VCPU   SetCPUID                          which features it has; before those that depend
//	   │                                             on them, and before the first Run
//	   │           SetMSRs, SetLAPIC                 what firmware would have set
//	   │           SetSregs, SetRegs                 where the guest begins
//	   │           ┌─▶ Run ── guest code ──▶ an Exit ─┐
//	   │           └──────── its answer ◀─────────────┘   until somebody has had enough, and
//	   │           Kick, from another thread              brings Run back with an InterruptedExit
//	   │
//	   └─ CreateVCPU(1) ── waits in Run for the guest's INIT and start-up IPI
//
// A VM ends when its file descriptor and those of its vCPUs are closed, in any
// order, or with the process. Its memory may be unmapped after that.
//
// # Threads
//
// Each vCPU has a thread of its own, which the caller locks with
// runtime.LockOSThread, and which alone calls Run. Kick is for everybody else.
// The methods of System and VM are for any thread.
//
// Blocked in KVM_RUN, a thread is in a system call for Go: it holds no
// processor of the scheduler's, and garbage is collected meanwhile.
//
// # Exits
//
// An Exit belongs to its VCPU and changes with the next Run. Its Data aliases
// the page that the kernel and this process share: what a guest is to read is
// written there. The contents come from the kernel, but many of the values
// (port, address, data) are the guest's choice.
package kvm
