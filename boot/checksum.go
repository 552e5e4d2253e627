package boot

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strconv"
	"strings"
)

// A bzImage ends with a CRC-32 over all before it (x86-boot "The Image
// Checksum"), in a form that makes the CRC of the whole 0. That finds the
// flipped bits that a compression without a checksum of its own (lz4, lzma)
// would hand to the guest.
//
// A signature for Secure Boot is added afterwards and changes two fields of the
// EFI header, which were zero when the checksum was made. From 6.15 on Linux'
// build may write no checksum ("x86/boot: Drop CRC-32 checksum and the build
// tool that generates it").

// Offsets in the EFI header (PE Format, "Optional Header").
const (
	peOffset         = 0x3c // in the image: offset of the PE signature
	peMagic          = 24   // from the signature on: which kind of optional header
	peCheckSum       = 24 + 64
	peCertificates64 = 24 + 112 + 4*8 // data directory 4 of a PE32+ header
	peCertificates32 = 24 + 96 + 4*8  // of a PE32 header
	peMagic64        = 0x20b
	peHeaderMax      = peCertificates64 + 8
)

// firstWithout is the first version of Linux that may have no checksum.
var firstWithout = []int{6, 15}

// checkSum checks the checksum of an image, up to the end of its protected-mode
// code.
func (k *Kernel) checkSum(image []byte) error {
	if !hasCheckSum(k.bz.version) || sumOf(image) == 0 {
		return nil
	}
	return fmt.Errorf("%w: its checksum is wrong. If it was changed on purpose since it was built, "+
		"the kernel entry %s does not look at the checksum", errPayload, k.decompressorEntry())
}

// hasCheckSum reports whether a kernel of that version certainly has a checksum.
func hasCheckSum(version string) bool {
	numbers := strings.FieldsFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if len(numbers) < 2 || !strings.HasPrefix(version, numbers[0]+"."+numbers[1]) {
		return false
	}
	major, err1 := strconv.Atoi(numbers[0])
	minor, err2 := strconv.Atoi(numbers[1])
	return err1 == nil && err2 == nil && slices.Compare([]int{major, minor}, firstWithout) < 0
}

// sumOf returns the CRC-32 register after the image, as it was before it was
// signed.
func sumOf(image []byte) uint32 {
	fields := signatureFields(image)
	sum, at := uint32(0), 0
	for _, f := range fields {
		sum = crc32.Update(sum, crc32.IEEETable, image[at:f.offset])
		sum = crc32.Update(sum, crc32.IEEETable, make([]byte, f.size))
		at = f.offset + f.size
	}
	return ^crc32.Update(sum, crc32.IEEETable, image[at:])
}

type field struct{ offset, size int }

// signatureFields returns the fields of the EFI header that signing changes, in
// ascending order; none if there is no such header.
func signatureFields(image []byte) []field {
	if len(image) < peOffset+4 {
		return nil
	}
	le := binary.LittleEndian
	pe := le.Uint32(image[peOffset:])
	if len(image) < peHeaderMax || pe > uint32(len(image)-peHeaderMax) || string(image[pe:][:4]) != "PE\x00\x00" {
		return nil
	}
	at, certificates := int(pe), peCertificates32
	if le.Uint16(image[at+peMagic:]) == peMagic64 {
		certificates = peCertificates64
	}
	return []field{{at + peCheckSum, 4}, {at + certificates, 8}}
}
