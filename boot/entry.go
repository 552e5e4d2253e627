package boot

import (
	"fmt"
	"strings"
)

// An Entry is a way into a kernel. The zero value stands for [EntryAuto].
type Entry string

// The ways in.
const (
	// EntryAuto takes the ELF if there is one, then the 64-bit, then the
	// 32-bit entry of the bzImage.
	EntryAuto Entry = "auto"
	// EntryELF enters the decompressed kernel at its ELF entry point, in
	// the state that its own decompressor would leave: startup_64 (or
	// startup_32 of an i386 kernel) with the zero page's address in RSI.
	// The kernel runs where it was linked to run: it is the decompressor
	// that would move it to a random address (KASLR).
	EntryELF Entry = "elf"
	// EntryPVH enters an ELF at the address in its Xen note, in 32-bit mode
	// with hvm_start_info's address in EBX.
	EntryPVH Entry = "pvh"
	// EntryLinux64 enters a bzImage's decompressor in 64-bit mode (x86-boot
	// "64-bit Boot Protocol").
	EntryLinux64 Entry = "linux64"
	// EntryLinux32 enters a bzImage's decompressor in 32-bit protected mode
	// (x86-boot "32-bit Boot Protocol").
	EntryLinux32 Entry = "linux32"
)

// Entries are all values of Entry.
var Entries = []Entry{EntryAuto, EntryELF, EntryPVH, EntryLinux64, EntryLinux32}

// String returns e's name. With Set and Type it makes an Entry a flag's value
// (pflag.Value).
func (e Entry) String() string {
	if e == "" {
		return string(EntryAuto)
	}
	return string(e)
}

// Set makes e the entry named s.
func (e *Entry) Set(s string) error {
	var names []string
	for _, known := range Entries {
		if s == string(known) {
			*e = known
			return nil
		}
		names = append(names, string(known))
	}
	return fmt.Errorf("no kernel entry is called %q: use one of %s", s, strings.Join(names, ", "))
}

// Type is the name of the type in a command's help.
func (e Entry) Type() string { return "entry" }
