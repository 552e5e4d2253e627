// Package boot turns a kernel image and its parameters into memory contents and
// entry registers. It makes no ioctl and needs no KVM.
//
//	        bzImage                                      vmlinux (ELF)
//	           │                                              │
//	           ├── payload ── decompress ──┐                  │
//	           │              (or cache)   ├─── segments ─────┘
//	linux64, linux32                   elf, pvh
//	           │                           │
//	           ▼                           ▼
//	 protected-mode code         segments at their physical
//	 at pref_address             addresses, mapped or copied
//	           └─────────────┬─────────────┘
//	                         │ + initrd, command line, memory map,
//	                         │   zero page or hvm_start_info, GDT, page tables
//	                         ▼
//	                registers of the first vCPU
//
// [Open] reads an image's headers and refuses what cannot be booted; [Load]
// puts it into memory; layout.go has the picture of what goes where below
// 1 MiB.
//
// "x86-boot" is Linux' Documentation/arch/x86/boot.rst (with zero-page.rst),
// protocol version 2.15. PVH is Xen's docs/misc/pvh.pandoc.
//
// # Trust
//
// A kernel image, an initrd and the cache's files come from whoever gave them.
// Every number in them is checked before it is used as an offset, a size or an
// address; what a header can make this package allocate is bounded by
// maxKernelSize, and maxWindow for the decompressors. A damaged image is an
// error that says what is wrong, never a panic. The guest's memory is written
// before the guest runs, and nothing is read back from it.
package boot
