package boot

import (
	"debug/elf"
	"encoding/binary"
	"testing"
)

// withSymbols appends a symbol table and its names to a 64-bit ELF.
func withSymbols(t *testing.T, image []byte, symbols []elf.Sym64, names string) []byte {
	t.Helper()
	sectionAt := func(kind elf.SectionType, name, off, size, link, entSize uint64) elf.Section64 {
		return elf.Section64{Type: uint32(kind), Name: uint32(name), Off: off, Size: size, Link: uint32(link), Info: 1, Entsize: entSize, Addralign: 1}
	}
	symOff := uint64(len(image))
	table := encode(t, symbols)
	image = append(image, table...)
	strOff := uint64(len(image))
	image = append(image, names...)
	shOff := uint64(len(image))
	image = append(image, encode(t, []elf.Section64{
		{},
		sectionAt(elf.SHT_SYMTAB, 0, symOff, uint64(len(table)), 2, elf.Sym64Size),
		sectionAt(elf.SHT_STRTAB, 0, strOff, uint64(len(names)), 0, 0),
	})...)
	le := binary.LittleEndian
	le.PutUint64(image[40:], shOff) // e_shoff
	le.PutUint16(image[58:], 64)    // e_shentsize
	le.PutUint16(image[60:], 3)     // e_shnum
	le.PutUint16(image[62:], 2)     // e_shstrndx
	return image
}

func TestSymbol(t *testing.T) {
	const base = 0xffffffff81000000
	function := elf.ST_INFO(elf.STB_GLOBAL, elf.STT_FUNC)
	image := withSymbols(t, linuxELF().image(t), []elf.Sym64{
		{},
		{Name: 1, Info: function, Shndx: 1, Value: base + 0x100, Size: 0x20},
		{Name: 7, Info: elf.ST_INFO(elf.STB_LOCAL, elf.STT_NOTYPE), Shndx: 1, Value: base + 0x10},
		{Name: 13, Info: elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT), Shndx: 1, Value: base + 0x108},
	}, "\x00start\x00entry\x00data\x00")
	l := load(t, ram(t, 16*mib), Config{Kernel: open(t, image)})
	for _, tt := range []struct {
		addr uint64
		want string
	}{
		{base + 0x100, "start+0x0"}, {base + 0x11f, "start+0x1f"}, {base + 0x120, ""}, {base + 0x108, "start+0x8"},
		{base + 0x12, "entry+0x2"}, {base, ""}, {0, ""},
	} {
		if got, ok := l.Symbol(tt.addr); got != tt.want || ok != (tt.want != "") {
			t.Errorf("%#x: %q, %v; want %q", tt.addr, got, ok, tt.want)
		}
	}
	for _, stripped := range [][]byte{linuxELF().image(t), tinyKernel(t)} {
		l := load(t, ram(t, 16*mib), Config{Kernel: open(t, stripped)})
		if got, ok := l.Symbol(base + 0x100); ok {
			t.Errorf("stripped: %q", got)
		}
	}
}
