package boot

import (
	"bytes"
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

// What debug/elf would read as a whole is neither compressed nor very large.
func TestCheckSymbolTables(t *testing.T) {
	const sectionSize = 64
	image := withSymbols(t, linuxELF().image(t), []elf.Sym64{{}}, "\x00")
	headers := len(image) - 3*sectionSize
	for _, tt := range []struct {
		name   string
		at     int // in the image
		value  uint64
		refuse bool
	}{
		{"as it is", headers, 0, false},
		{"symbols compressed", headers + sectionSize + 8, uint64(elf.SHF_COMPRESSED), true},
		{"symbols too large", headers + sectionSize + 32, maxSymbolTable + 1, true},
		{"names compressed", headers + 2*sectionSize + 8, uint64(elf.SHF_COMPRESSED), true},
		{"names too large", headers + 2*sectionSize + 32, maxSymbolTable + 1, true},
		{"names of no section", headers + sectionSize + 40, 3, true},
		{"table beyond the end", 40, uint64(len(image)), true},
		{"another size of entries", 56, 3<<32 | 65<<16, true},
	} {
		b := bytes.Clone(image)
		binary.LittleEndian.PutUint64(b[tt.at:], tt.value)
		if err := checkSymbolTables(bytes.NewReader(b), 64); (err != nil) != tt.refuse {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if err := checkSymbolTables(bytes.NewReader(linuxELF32().image(t)), 32); err == nil {
		t.Error("32 bits, without sections: no error")
	}
}
