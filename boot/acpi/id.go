package acpi

import (
	"math/bits"
	"strconv"
)

// isNameSeg reports whether s is four characters of which a NameSeg is made
// (ACPI 6.5 §20.2.2).
func isNameSeg(s string) bool {
	if len(s) != 4 || isDigit(s[0]) {
		return false
	}
	for i := range len(s) {
		if !isUpper(s[i]) && !isDigit(s[i]) && s[i] != '_' {
			return false
		}
	}
	return true
}

// isHardwareID reports whether s has one of the two forms of a _HID (ACPI 6.5
// §6.1.5): an EISA ID "AAA####", or an ACPI ID "NNNN####" of four capitals or
// digits; # is a hexadecimal digit with capitals.
func isHardwareID(s string) bool {
	if _, ok := eisaID(s); ok {
		return true
	}
	if len(s) != 8 || !isHex(s[4:]) {
		return false
	}
	for i := range 4 {
		if !isUpper(s[i]) && !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// eisaID is the 32-bit form of an EISA ID "AAA####" (ACPI 6.5 §19.3.4, the
// EISAID macro): three letters of 5 bits each and four digits, the bytes then
// swapped, so that in memory they are in the order of the text. ok is false if
// id is none.
func eisaID(id string) (n uint32, ok bool) {
	if len(id) != 7 || !isHex(id[3:]) {
		return 0, false
	}
	var letters uint32
	for i := range 3 {
		if !isUpper(id[i]) {
			return 0, false
		}
		letters = letters<<5 | uint32(id[i]-'A'+1)
	}
	digits, err := strconv.ParseUint(id[3:], 16, 16)
	return bits.ReverseBytes32(letters<<16 | uint32(digits)), err == nil
}

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// isHex reports whether s is made of hexadecimal digits with capitals.
func isHex(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) && (s[i] < 'A' || s[i] > 'F') {
			return false
		}
	}
	return true
}
