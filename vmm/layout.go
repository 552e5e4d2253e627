package vmm

import (
	"microvm/kvm/guestmem"
)

// Where things lie in guest-physical memory. Package boot has the picture of
// what it puts below 640 KiB; this is the rest:
//
//	513 GiB ┌─────────────────────────────┐
//	        │ RAM above 3 GiB             │
//	  4 GiB ├─────────────────────────────┤
//	        │ BIOS flash on a PC: nothing │
//	        │ 0xfffbc000 KVM's own pages  │  identity map, TSS (Intel without unrestricted guest)
//	        │ 0xfee00000 local APICs      │  in KVM
//	        │ 0xfec00000 I/O APIC         │  in KVM
//	        │ 0xd0000000 virtio devices   │  a page each
//	  3 GiB ├─────────────────────────────┤
//	        │ RAM: kernel, initrd         │
//	  1 MiB ├─────────────────────────────┤
//	        │ 0xff000 code for a reset    │  where a PC's BIOS has it
//	        │ 0xe0000 ACPI tables         │  where an operating system looks for them
//	        │ 0xa0000 VGA on a PC: empty  │
//	640 KiB ├─────────────────────────────┤
//	        │ RAM: boot data              │
//	      0 └─────────────────────────────┘
const (
	holeStart guestmem.Addr = 3 * GiB // no RAM from here …
	holeEnd   guestmem.Addr = 4 * GiB // … to here

	acpiBase guestmem.Addr = 0xe0000 // ACPI 6.5 §5.2.5.1: the RSDP is looked for from here …
	acpiSize               = 0x1f000
	biosPage guestmem.Addr = 0xff000 // holds the code at the reset vector

	ioapicBase    = 0xfec00000 // fixed by KVM, as on a PC (Intel 82093AA §3.0)
	localAPICBase = 0xfee00000 // SDM 3A §11.4.1

	// Three pages and one page that KVM on some Intel processors needs for
	// itself, outside RAM: kvm-api KVM_SET_TSS_ADDR,
	// KVM_SET_IDENTITY_MAP_ADDR.
	identityMapAddr = 0xfffbc000
	tssAddr         = identityMapAddr + guestmem.PageSize
)

// I/O ports, as a PC has them where a PC has them.
const (
	portI8042   = 0x60
	portCMOS    = 0x70
	portCOM1    = 0x3f8
	portPVPanic = 0x505 // by convention of QEMU's docs/specs/pvpanic
	portPower   = 0x600 // sleep control, sleep status, reset: ours to choose
	portGuest   = 0x610
	portPCI     = 0xcf8 // PCI 3.0 §3.2.2.3.2
)

// Virtio devices have a page of registers each from virtioBase on, so that a
// guest may map each on its own, and some are memory that it reads.
const (
	virtioBase   guestmem.Addr = 0xd0000000
	virtioStride               = guestmem.PageSize
)

// virtioGSIs are the interrupts of the virtio devices, one each: an
// edge-triggered line cannot be shared. First come those that a PC leaves to
// PCI, then those of chips that are not on this board. Not among them are the
// timer (0, 2), the keyboard (1), the serial ports (3, 4), the clock (8) and the
// coprocessor (13), whose drivers may ask for them without being told.
var virtioGSIs = []uint32{16, 17, 18, 19, 20, 21, 22, 23, 5, 6, 7, 9, 10, 11, 12, 14, 15}

// gsiCOM1 is COM1's interrupt, IRQ 4 of a PC.
const gsiCOM1 = 4

// ramRanges lays size bytes of RAM around the hole below 4 GiB.
func ramRanges(size uint64) []guestmem.Range {
	low := guestmem.Range{Start: 0, Size: min(size, uint64(holeStart))}
	if size == low.Size {
		return []guestmem.Range{low}
	}
	return []guestmem.Range{low, {Start: holeEnd, Size: size - low.Size}}
}
