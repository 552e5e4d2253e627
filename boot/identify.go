package boot

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"unicode/utf8"
)

// startSize is how much of a file is read to know what it is. The setup header
// lies within it, and all magic numbers below.
const startSize = 4096

// isBzImage reports whether an image that begins with b has a setup header.
func isBzImage(b []byte) bool {
	h := jumpEnd + 4
	return len(b) >= h &&
		binary.LittleEndian.Uint16(b[0x1fe:]) == bootFlagMagic &&
		binary.LittleEndian.Uint32(b[jumpEnd:]) == headerMagic
}

func isELF(b []byte) bool { return bytes.HasPrefix(b, []byte(elf.ELFMAG)) }

// What people give as a kernel and is none: magic number, its offset, and what
// to say about it. The first that fits counts.
var strangers = []struct {
	offset int
	magic  string
	what   string
}{
	{0x38, "ARM\x64", "it is an arm64 kernel (Image): this machine runs kernels for x86-64 and i386"},
	{0x38, "RSC\x05", "it is a RISC-V kernel (Image): this machine runs kernels for x86-64 and i386"},
	{0x24, "\x18\x28\x6f\x01", "it is a 32-bit ARM kernel (zImage): this machine runs kernels for x86-64 and i386"},
	{0, "\x27\x05\x19\x56", "it is a U-Boot image (uImage): use the bzImage or vmlinux that it was made of"},
	{0, "070701", "it is a cpio archive, perhaps the initrd: the kernel is another file, such as a bzImage"},
	{0, "070702", "it is a cpio archive, perhaps the initrd: the kernel is another file, such as a bzImage"},
	{0, "QFI\xfb", "it is a disk image (qcow2), not a kernel"},
	{0, "!<arch>\n", "it is an archive, perhaps a Debian package: unpack it and use the vmlinuz in it"},
	{0, "PK\x03\x04", "it is a zip archive, not a kernel"},
	{0, "\xed\xab\xee\xdb", "it is an RPM package: unpack it and use the vmlinuz in it"},
	{0, "MZ", "it is a program for EFI or Windows without a Linux boot header: use a bzImage or a vmlinux"},
	{0x1fe, "\x55\xaa", "it is a boot sector or a disk image without a Linux boot header: it needs a BIOS; use a bzImage or a vmlinux"},
}

// whatElse says what an image is that is neither bzImage nor ELF.
func whatElse(b []byte) error {
	for _, s := range strangers {
		if len(b) >= s.offset && bytes.HasPrefix(b[s.offset:], []byte(s.magic)) {
			return errors.New(s.what)
		}
	}
	if c := compressionOf(b); c != nil {
		return errors.New("it is a file compressed by " + c.name + ", not a kernel image: decompress it first, or use the bzImage")
	}
	if isText(b) {
		return errors.New("it is a text file, not a kernel: use a bzImage or a vmlinux (ELF)")
	}
	return errors.New("it is no kernel that this monitor knows: neither a bzImage (no \"HdrS\" at 0x202) nor an ELF file")
}

// isText reports whether b looks like text: whole lines without control
// characters.
func isText(b []byte) bool {
	if len(b) == startSize { // the last line may be cut within a character
		b = b[:bytes.LastIndexByte(b, '\n')+1]
	}
	binary := func(r rune) bool {
		return r == utf8.RuneError || r < ' ' && r != '\n' && r != '\t' && r != '\r' && r != '\f' && r != '\x1b'
	}
	return len(b) > 0 && bytes.IndexFunc(b, binary) < 0
}
