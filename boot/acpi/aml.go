package acpi

// A small encoder of the ACPI Machine Language (ACPI 6.5 §20.2). A term is its
// bytes; a term that contains others is made from theirs. What is encoded has
// been checked by Machine.check.

// Opcodes and prefixes (ACPI 6.5 §20.3).
const (
	opZero     = 0x00
	opOne      = 0x01
	opName     = 0x08
	prefixByte = 0x0a
	prefixWord = 0x0b
	prefixD    = 0x0c // DWord
	prefixText = 0x0d // ASCII, ends with a zero byte
	prefixQ    = 0x0e // QWord
	opScope    = 0x10
	opBuffer   = 0x11
	opPackage  = 0x12
	opExt      = 0x5b // the opcode is in the next byte
	opExtDev   = 0x82 // DeviceOp, after opExt
)

// A Value is what a named object can hold: an [Integer], a [String], a
// [Buffer] or a [Package].
type Value interface {
	aml() []byte
	check(depth int) error
}

// An Integer is a number of up to 64 bits.
type Integer uint64

// A String is text of the ASCII characters 1 to 127.
type String string

// A Buffer is bytes, at least one. A UUID, as _DSD begins with, is one of 16.
type Buffer []byte

// A Package is up to 255 values.
type Package []Value

func (v Integer) aml() []byte { return integer(uint64(v)) }
func (v String) aml() []byte  { return text(string(v)) }
func (v Buffer) aml() []byte  { return buffer(v) }

func (v Package) aml() []byte {
	var elements [][]byte
	for _, e := range v {
		elements = append(elements, e.aml())
	}
	return pkg(elements...)
}

// integer is v in its shortest form (ACPI 6.5 §20.2.3).
func integer(v uint64) []byte {
	switch {
	case v == 0:
		return []byte{opZero}
	case v == 1:
		return []byte{opOne}
	case v>>8 == 0:
		return []byte{prefixByte, uint8(v)}
	case v>>16 == 0:
		return le.AppendUint16([]byte{prefixWord}, uint16(v))
	case v>>32 == 0:
		return le.AppendUint32([]byte{prefixD}, uint32(v))
	}
	return le.AppendUint64([]byte{prefixQ}, v)
}

// text is the string s.
func text(s string) []byte {
	return append(append([]byte{prefixText}, s...), 0)
}

// buffer is the bytes b, with their number.
func buffer(b []byte) []byte {
	return sized([]byte{opBuffer}, append(integer(uint64(len(b))), b...))
}

// pkg is a package of the given values, at most 255.
func pkg(elements ...[]byte) []byte {
	body := []byte{uint8(len(elements))}
	for _, e := range elements {
		body = append(body, e...)
	}
	return sized([]byte{opPackage}, body)
}

// name gives a value a name in the scope that the term will be in.
func name(seg string, value []byte) []byte {
	return append(append([]byte{opName}, seg...), value...)
}

// scope opens an object that is already there, to add terms to it.
func scope(seg string, terms []byte) []byte {
	return sized([]byte{opScope}, append([]byte(seg), terms...))
}

// deviceObject is a device of the given NameSeg that holds terms.
func deviceObject(seg string, terms []byte) []byte {
	return sized([]byte{opExt, opExtDev}, append([]byte(seg), terms...))
}

// sized is a term of an opcode, a package length and what it measures.
func sized(opcode, body []byte) []byte {
	return append(append(opcode, pkgLength(len(body))...), body...)
}

// Package lengths (ACPI 6.5 §20.2.4): bits 7-6 of the first byte say how many
// bytes follow. If none, bits 5-0 are the length; else bits 3-0 are its lowest
// four bits and each byte that follows the next eight. It counts itself.
const (
	maxPkgLength1 = 1<<6 - 1
	maxPkgLength2 = 1<<12 - 1
	maxPkgLength3 = 1<<20 - 1
	maxPkgLength  = 1<<28 - 1
)

// pkgLength is the package length of a body of n bytes.
//
// Preconditions: n+4 is at most maxPkgLength, or the result is not used; Build
// holds to the second.
func pkgLength(n int) []byte {
	switch {
	case n+1 <= maxPkgLength1:
		return []byte{uint8(n + 1)}
	case n+2 <= maxPkgLength2:
		n += 2
		return []byte{1<<6 | uint8(n&0xf), uint8(n >> 4)}
	case n+3 <= maxPkgLength3:
		n += 3
		return []byte{2<<6 | uint8(n&0xf), uint8(n >> 4), uint8(n >> 12)}
	}
	n += 4
	return []byte{3<<6 | uint8(n&0xf), uint8(n >> 4), uint8(n >> 12), uint8(n >> 20)}
}
