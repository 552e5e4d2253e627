package boot

import (
	"bytes"
	"fmt"
	"io"
	"math/bits"
)

// A bzImage is Linux' boot image for PCs (x86-boot): real-mode code with the
// setup header, which we do not run, and then protected-mode code, which is a
// decompressor with the compressed kernel, the payload:
//
//	0          0x1f1    setupSize               + PayloadOffset
//	┌──────────┬────────┬───────────────────────┬─────────┬─────┬───────────┐
//	│ sector 0 │ setup  │ decompressor          │ payload │ ... │ signature │
//	│          │ header │ (protected-mode code) │         │ CRC │           │
//	└──────────┴────────┴───────────────────────┴─────────┴─────┴───────────┘
type bzImage struct {
	header    setupHeader
	version   string // as the image tells it, "" if it does not
	setupSize uint64 // of the real-mode code: where the protected-mode code begins
	codeSize  uint64 // of the protected-mode code
}

// minInitSize is the least that a kernel with a working decompressor claims;
// headers with less were not filled in by a kernel's build.
const minInitSize = 64 << 10

// parseBzImage checks all that the header says against the file's size and the
// rules of the boot protocol.
func parseBzImage(r io.ReaderAt, start []byte, size uint64) (*bzImage, error) {
	if len(start) < setupHeaderLimit {
		return nil, fmt.Errorf("the bzImage is cut off within its setup header: %d bytes", size)
	}
	b := &bzImage{header: decodeSetupHeader(start)}
	h := &b.header
	sects := uint64(h.SetupSects)
	if sects == 0 {
		sects = sectsIfZero
	}
	b.setupSize = (sects + 1) * sectorSize
	b.codeSize = uint64(h.SysSize) * paragraph
	if err := b.checkBootable(size); err != nil {
		return nil, err
	}
	if err := b.checkNumbers(); err != nil {
		return nil, err
	}
	var err error
	b.version, err = b.readVersion(r)
	return b, err
}

// checkBootable refuses what cannot be entered without a BIOS, and what is not
// all there.
func (b *bzImage) checkBootable(size uint64) error {
	h := &b.header
	switch {
	case h.LoadFlags&loadedHigh == 0:
		return fmt.Errorf("the image has a Linux boot header but needs a BIOS: it is a zImage, "+
			"loaded below 640 KiB (loadflags %#x without LOADED_HIGH); use a bzImage", h.LoadFlags)
	case h.Version < minProtocol:
		return fmt.Errorf("the image has a Linux boot header of protocol %s and would need a BIOS: "+
			"this monitor needs %s or later, which Linux has since 3.8", protocol(h.Version), protocol(minProtocol))
	case b.codeSize == 0 || size <= b.setupSize:
		return fmt.Errorf("the image has a Linux boot header but no protected-mode part: it is cut off, or needs a BIOS "+
			"(syssize is %d, real-mode code %d of %d bytes)", h.SysSize, b.setupSize, size)
	case size-b.setupSize < b.codeSize:
		return fmt.Errorf("the bzImage is truncated: by its header it has %d bytes, the file has %d",
			b.setupSize+b.codeSize, size)
	case h.InitSize < minInitSize || h.PrefAddress == 0:
		return fmt.Errorf("the image has a Linux boot header but does not say where it runs (pref_address %#x) "+
			"and what memory that takes (init_size %#x): it is no Linux kernel that can be booted without a BIOS",
			h.PrefAddress, h.InitSize)
	}
	return nil
}

// checkNumbers refuses headers that contradict themselves.
func (b *bzImage) checkNumbers() error {
	h := &b.header
	switch end := uint64(h.PayloadOffset) + uint64(h.PayloadLength); {
	case b.codeSize > maxKernelSize:
		return fmt.Errorf("the bzImage is damaged: by its header it has %d bytes of protected-mode code; the limit is %d",
			b.codeSize, maxKernelSize)
	case end > b.codeSize:
		return fmt.Errorf("the bzImage is damaged: its payload is said to be at %#x to %#x of %#x bytes of protected-mode code",
			h.PayloadOffset, end, b.codeSize)
	case bits.OnesCount32(h.KernelAlignment) != 1:
		return fmt.Errorf("the bzImage is damaged: kernel_alignment %#x is not a power of two", h.KernelAlignment)
	case h.PrefAddress%pageSize != 0 || h.PrefAddress < uint64(highMemory):
		return fmt.Errorf("the bzImage is damaged: pref_address %#x is not a page of memory from 1 MiB on", h.PrefAddress)
	case h.PrefAddress > fourGiB || b.extent() > fourGiB-h.PrefAddress:
		return fmt.Errorf("the bzImage wants to run at %#x with %#x bytes of memory, which is not below 4 GiB",
			h.PrefAddress, b.extent())
	}
	return nil
}

// extent is the number of bytes from pref_address on that the kernel needs for
// itself until it knows where memory is.
func (b *bzImage) extent() uint64 { return max(uint64(b.header.InitSize), b.codeSize) }

// maxVersionString bounds the version string, which ends with a NUL.
const maxVersionString = 256

// readVersion returns the version string in the real-mode code (x86-boot
// kernel_version), "" if there is none.
func (b *bzImage) readVersion(r io.ReaderAt) (string, error) {
	if b.header.KernelVersion == 0 {
		return "", nil
	}
	off := uint64(b.header.KernelVersion) + 0x200
	if off >= b.setupSize {
		return "", fmt.Errorf("the bzImage is damaged: its version string is said to be at %#x of %#x bytes of real-mode code",
			off, b.setupSize)
	}
	buf := make([]byte, min(maxVersionString, b.setupSize-off))
	if _, err := r.ReadAt(buf, int64(off)); err != nil {
		return "", fmt.Errorf("reading its version string: %w", err)
	}
	text, _, _ := bytes.Cut(buf, []byte{0})
	return printable(text), nil
}

// printable returns text with what is not printable ASCII replaced: it goes to
// terminals and comes from a file.
func printable(text []byte) string {
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text))
}
