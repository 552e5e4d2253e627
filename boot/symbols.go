package boot

import (
	"cmp"
	"debug/elf"
	"fmt"
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
