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
// # Files that are mapped
//
// Segments and initrd are mapped into guest memory where they can be, not read:
// a start takes the same time for files of any size, and guests share the pages
// that they do not write. The price is that a mapped file must stay as it is:
// if somebody writes to it, the guest sees new bytes in the pages that it has
// not written, and if somebody cuts it off, a touch of what is gone ends in
// EFAULT from KVM_RUN. So:
//
//   - A kernel that runs for the guest's whole life is mapped from the cache
//     alone, whose files are never written to again, only removed. Without a
//     cache it is copied. This holds for a vmlinux, too, which the next build
//     may overwrite.
//   - An initrd, and the decompressor of a bzImage (linux64, linux32), are
//     mapped from the user's own files: the guest has read them, and moved or
//     unpacked them, within its first second or so. Whoever overwrites one in
//     place during that time spoils that boot; whoever puts a new file in its
//     place (rename, as package managers and most compilers do) does not.
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
