package boot

import "microvm/kvm/guestmem"

// Where this package puts what a kernel needs to find when it is entered. All
// of it lies in the first 640 KiB and is dead once the kernel has copied it,
// which Linux does before it looks for free memory:
//
//	0x100000 ┌──────────────────────────────┐ 1 MiB: kernels and initrd from here on
//	         │ a PC's video memory and ROMs │ no RAM; ACPI tables, chosen by the caller
//	0x0a0000 ├──────────────────────────────┤
//	         │ last KiB of base memory      │ reserved: see ebdaStart
//	0x09fc00 ├──────────────────────────────┤
//	         │ free                         │ Linux starts other CPUs from here
//	0x030000 ├──────────────────────────────┤
//	         │ command line, 64 KiB         │
//	0x020000 ├──────────────────────────────┤
//	         │ free                         │
//	0x016000 ├──────────────────────────────┤
//	         │ page tables, 6 pages         │ 64-bit entries
//	0x010000 ├──────────────────────────────┤
//	         │ free                         │
//	0x00c000 ├──────────────────────────────┤
//	         │ hvm_start_info, 2 pages      │ PVH entry
//	0x00a000 ├──────────────────────────────┤
//	         │ zero page (boot_params)      │ Linux entries
//	0x009000 ├──────────────────────────────┤
//	         │ GDT                          │ all entries
//	0x008000 ├──────────────────────────────┤
//	         │ nothing                      │ interrupt vectors and BIOS data on a PC
//	0x000000 └──────────────────────────────┘
const (
	gdtAddr       guestmem.Addr = 0x8000
	zeroPageAddr  guestmem.Addr = 0x9000
	startInfoAddr guestmem.Addr = 0xa000
	startInfoSize               = 0x2000
	pageTableAddr guestmem.Addr = 0x10000
	cmdlineAddr   guestmem.Addr = 0x20000
	cmdlineRoom                 = 0x10000 // the longest command line with its NUL

	bootDataStart = gdtAddr
	bootDataEnd   = cmdlineAddr + cmdlineRoom

	// ebdaStart is where a PC's BIOS keeps its extended data area. Kernels
	// expect the last KiB of base memory to be the firmware's: they look
	// there for MP tables (MultiProcessor Specification 1.4 §4).
	ebdaStart guestmem.Addr = 0x9fc00
	// Base memory ends where video memory begins on a PC, and RAM goes on
	// at 1 MiB. What lies between is not told to the kernel as RAM, whatever
	// is there.
	baseMemoryEnd guestmem.Addr = 0xa0000
	highMemory    guestmem.Addr = 0x100000

	// lowMemoryMax is where a PC's memory below 4 GiB ends at most: see
	// package guestmem. A larger guest would not help a kernel that wants
	// to be above.
	lowMemoryMax guestmem.Addr = 3 << 30
)

// bootData is what the constants above occupy; no kernel may be loaded there.
var bootData = guestmem.Range{Start: bootDataStart, Size: uint64(bootDataEnd - bootDataStart)}
