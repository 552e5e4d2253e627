package acpi

import (
	"encoding/binary"

	"microvm/kvm/guestmem"
)

// The header that begins every table but the RSDP (ACPI 6.5 §5.2.6), by offset.
const (
	offLength   = 4  // 32 bits: bytes in the table, header included
	offChecksum = 9  // 8 bits: makes all bytes of the table sum to 0
	headerSize  = 36 // bytes; the table's own fields follow
)

// Who made the tables. Operating systems log these and pick workarounds by
// them; they change nothing else.
const (
	oemID           = "MICROV"   // 6 bytes
	oemTableID      = "MICROVM " // 8 bytes, the same in all tables: they are of one machine
	oemRevision     = 1
	creatorID       = "MVMM" // 4 bytes: for a DSDT the vendor of its compiler
	creatorRevision = 1
)

// le appends and stores values in the byte order of the tables (ACPI 6.5
// §5.2: "all numeric values … are always encoded in little endian format").
var le = binary.LittleEndian

// newTable returns the header of a table with room for its body after it. The
// length and checksum are put in by seal.
func newTable(signature string, revision uint8) []byte {
	t := make([]byte, 0, 512)
	t = append(t, signature...)
	t = le.AppendUint32(t, 0)
	t = append(t, revision, 0)
	t = append(t, oemID...)
	t = append(t, oemTableID...)
	t = le.AppendUint32(t, oemRevision)
	t = append(t, creatorID...)
	return le.AppendUint32(t, creatorRevision)
}

// seal puts length and checksum into the header of a finished table.
func seal(t []byte) []byte {
	le.PutUint32(t[offLength:], uint32(len(t)))
	t[offChecksum] = complement(t)
	return t
}

// complement returns the byte that makes b, in which its place is still 0, sum
// to 0 modulo 256.
func complement(b []byte) uint8 {
	var sum uint8
	for _, c := range b {
		sum += c
	}
	return -sum
}

// The Generic Address Structure (ACPI 6.5 §5.2.3.2), which says where a
// register is.
const (
	spaceIO    = 1 // Address Space ID: system I/O space
	accessByte = 1 // Access Size: byte
)

// ioRegister is the Generic Address Structure of a register of 8 bits at an
// I/O port.
func ioRegister(port uint16) []byte {
	gas := []byte{spaceIO, 8, 0, accessByte} // width in bits, offset in bits
	return le.AppendUint64(gas, uint64(port))
}

// The Root System Description Pointer (ACPI 6.5 §5.2.5.3), by offset.
const (
	offRSDPChecksum    = 8  // 8 bits: makes the first 20 bytes sum to 0
	rsdp1Size          = 20 // bytes of it that ACPI 1.0 knows
	offRSDPExtChecksum = 32 // 8 bits: makes all 36 bytes sum to 0
	rsdpSize           = 36 // bytes
	rsdpRevision       = 2  // of ACPI 2.0 and later
)

// rsdp returns the pointer to the XSDT. Its RSDT address is 0: there is none.
func rsdp(xsdt guestmem.Addr) []byte {
	t := make([]byte, 0, rsdpSize)
	t = append(t, "RSD PTR \x00"...)
	t = append(t, oemID...)
	t = append(t, rsdpRevision)
	t = le.AppendUint32(t, 0)
	t = le.AppendUint32(t, rsdpSize)
	t = le.AppendUint64(t, uint64(xsdt))
	t = append(t, 0, 0, 0, 0) // extended checksum, reserved
	t[offRSDPChecksum] = complement(t[:rsdp1Size])
	t[offRSDPExtChecksum] = complement(t)
	return t
}

// xsdt returns the Extended System Description Table (ACPI 6.5 §5.2.8) of the
// tables at the given addresses.
func xsdt(tables ...guestmem.Addr) []byte {
	t := newTable("XSDT", 1)
	for _, a := range tables {
		t = le.AppendUint64(t, uint64(a))
	}
	return seal(t)
}

// xsdtSize is the number of bytes of an XSDT of n tables.
func xsdtSize(n int) int { return headerSize + 8*n }
