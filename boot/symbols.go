package boot

import (
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
)

// Symbol names the function in which the virtual address addr lies, with the
// offset in it, such as start_kernel+0x1c. Only an ELF that was not stripped,
// such as a vmlinux as it is built, has names; ok is false without.
//
// It reads the image's file, which must still be open. It is meant for a guest
// that has died, and takes its time.
func (l *Loaded) Symbol(addr uint64) (name string, ok bool) {
	if l.kernel == nil || l.kernel.elf == nil {
		return "", false
	}
	if checkSymbolTables(l.kernel.file, l.kernel.elf.bits) != nil {
		return "", false
	}
	f, err := elf.NewFile(l.kernel.file)
	if err != nil {
		return "", false
	}
	symbols, err := f.Symbols()
	if err != nil {
		return "", false
	}
	functions := slices.DeleteFunc(symbols, func(s elf.Symbol) bool {
		t := elf.ST_TYPE(s.Info)
		// Functions in assembler often have no type.
		return s.Section == elf.SHN_UNDEF || s.Section == elf.SHN_ABS || t != elf.STT_FUNC && t != elf.STT_NOTYPE
	})
	slices.SortStableFunc(functions, func(a, b elf.Symbol) int { return cmp.Compare(a.Value, b.Value) })
	i, exact := slices.BinarySearchFunc(functions, addr, func(s elf.Symbol, a uint64) int { return cmp.Compare(s.Value, a) })
	if !exact {
		i--
	}
	if i < 0 {
		return "", false
	}
	s := functions[i]
	offset := addr - s.Value
	if s.Size > 0 && offset >= s.Size {
		return "", false
	}
	return fmt.Sprintf("%s+%#x", s.Name, offset), true
}

// maxSymbolTable bounds the bytes of a symbol table, and of its names. It is
// several times what kernels with most things built in have.
const maxSymbolTable = 32 << 20

// checkSymbolTables checks the sections that debug/elf reads as a whole to find
// symbols. It would inflate one that is compressed to any size. A kernel's are
// not: what is compressed is its debugging information.
func checkSymbolTables(r io.ReaderAt, bits int) error {
	sections, names, err := readSections(r, bits)
	if err != nil {
		return err
	}
	read := []uint32{uint32(names)}
	for i, s := range sections {
		if elf.SectionType(s.Type) == elf.SHT_SYMTAB {
			read = append(read, uint32(i), s.Link)
		}
	}
	for _, i := range read {
		if int64(i) >= int64(len(sections)) {
			return fmt.Errorf("the ELF is damaged: it has no section %d", i)
		}
		s := sections[i]
		if elf.SectionFlag(s.Flags)&elf.SHF_COMPRESSED != 0 {
			return fmt.Errorf("section %d is compressed", i)
		}
		if s.Size > maxSymbolTable {
			return fmt.Errorf("section %d has %d bytes; the limit is %d", i, s.Size, maxSymbolTable)
		}
	}
	return nil
}

// errNoSections says that an ELF has no plain table of sections: none, or one of
// so many entries that their number is elsewhere, which no linked kernel has.
var errNoSections = errors.New("the ELF has no table of sections, or an unusual one")

// readSections returns the section headers of an ELF, and which of them is of
// the sections' names.
func readSections(r io.ReaderAt, bits int) (sections []elf.Section64, names uint16, err error) {
	if bits == 32 {
		return readSections32(r)
	}
	var h elf.Header64
	if err := decodeAt(r, 0, &h); err != nil {
		return nil, 0, err
	}
	if h.Shnum == 0 || int(h.Shentsize) != binary.Size(elf.Section64{}) {
		return nil, 0, errNoSections
	}
	sections = make([]elf.Section64, h.Shnum)
	return sections, h.Shstrndx, decodeAt(r, h.Shoff, sections)
}

// readSections32 is readSections for a 32-bit kernel, and widens the headers.
func readSections32(r io.ReaderAt) (sections []elf.Section64, names uint16, err error) {
	var h elf.Header32
	if err := decodeAt(r, 0, &h); err != nil {
		return nil, 0, err
	}
	if h.Shnum == 0 || int(h.Shentsize) != binary.Size(elf.Section32{}) {
		return nil, 0, errNoSections
	}
	narrow := make([]elf.Section32, h.Shnum)
	if err := decodeAt(r, uint64(h.Shoff), narrow); err != nil {
		return nil, 0, err
	}
	for _, s := range narrow {
		sections = append(sections, elf.Section64{Type: s.Type, Flags: uint64(s.Flags), Size: uint64(s.Size), Link: s.Link})
	}
	return sections, h.Shstrndx, nil
}
