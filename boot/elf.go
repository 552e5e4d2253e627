package boot

import (
	"bytes"
	"cmp"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"microvm/kvm/guestmem"
)

const (
	pageSize = guestmem.PageSize
	fourGiB  = 1 << 32
)

// maxSegments bounds the program headers that are read. Linux has five, with
// LOAD and NOTE; 32 of them fit in the first page of a cached kernel.
const maxSegments = 32

// maxImageEnd bounds the physical addresses that an ELF may ask for. It keeps
// sums of them far from wrapping; whether there is RAM is seen at loading.
const maxImageEnd = 1 << 48

// An elfImage is what a loader needs of an ELF file: what goes where in
// physical memory, and where the ways in are.
type elfImage struct {
	bits     int // 64 or 32
	entry    uint64
	pvhEntry uint64     // 0 if there is none
	linux    bool       // it has notes of Linux' build
	release  string     // of Linux, such as 6.1.0-56-amd64, if its notes tell it
	cached   *cacheNote // of a cached kernel, or nil
	segments []segment  // in ascending order of Addr, disjoint, none of them empty
}

// A segment is a piece of an ELF file and of physical memory (a program header
// of type LOAD).
type segment struct {
	Addr     uint64 // physical
	Virtual  uint64
	Offset   uint64 // in the file
	FileSize uint64
	MemSize  uint64 // at least FileSize; the rest is zero
	Flags    elf.ProgFlag
}

func (s segment) end() uint64 { return s.Addr + s.MemSize }

// errNotELF says that there is no ELF magic.
var errNotELF = errors.New("it is not an ELF file")

// parseELF reads the headers and notes of an ELF of size bytes. The returned
// image's segments lie within the file, and below maxImageEnd.
func parseELF(r io.ReaderAt, size uint64) (*elfImage, error) {
	ident := make([]byte, elf.EI_NIDENT)
	if _, err := r.ReadAt(ident, 0); err != nil || !bytes.HasPrefix(ident, []byte(elf.ELFMAG)) {
		return nil, errNotELF
	}
	if d := elf.Data(ident[elf.EI_DATA]); d != elf.ELFDATA2LSB {
		return nil, fmt.Errorf("the ELF is not of an x86 processor: its byte order is %v", d)
	}
	var h elf.Header64
	var progs []elf.Prog64
	var err error
	class := elf.Class(ident[elf.EI_CLASS])
	switch class {
	case elf.ELFCLASS64:
		h, progs, err = readELF64(r, size)
	case elf.ELFCLASS32:
		h, progs, err = readELF32(r, size)
	default:
		err = fmt.Errorf("the ELF is damaged: it is of class %v", class)
	}
	if err != nil {
		return nil, err
	}
	if err := checkKind(class, &h, progs); err != nil {
		return nil, err
	}
	return newELFImage(r, size, class, &h, progs)
}

// readELF64 reads the headers of a 64-bit ELF.
func readELF64(r io.ReaderAt, size uint64) (h elf.Header64, progs []elf.Prog64, err error) {
	if err := decodeAt(r, 0, &h); err != nil {
		return h, nil, err
	}
	progs = make([]elf.Prog64, min(h.Phnum, maxSegments))
	return h, progs, readProgs(r, size, h.Phoff, h.Phnum, h.Phentsize, progs)
}

// readELF32 reads the headers of a 32-bit ELF, and widens them.
func readELF32(r io.ReaderAt, size uint64) (h elf.Header64, progs []elf.Prog64, err error) {
	var n elf.Header32
	if err := decodeAt(r, 0, &n); err != nil {
		return h, nil, err
	}
	h = elf.Header64{Type: n.Type, Machine: n.Machine, Entry: uint64(n.Entry)}
	narrow := make([]elf.Prog32, min(n.Phnum, maxSegments))
	if err := readProgs(r, size, uint64(n.Phoff), n.Phnum, n.Phentsize, narrow); err != nil {
		return h, nil, err
	}
	for _, p := range narrow {
		progs = append(progs, elf.Prog64{Type: p.Type, Flags: p.Flags, Off: uint64(p.Off), Vaddr: uint64(p.Vaddr),
			Paddr: uint64(p.Paddr), Filesz: uint64(p.Filesz), Memsz: uint64(p.Memsz), Align: uint64(p.Align)})
	}
	return h, progs, nil
}

// readProgs reads the table of program headers.
func readProgs[T elf.Prog64 | elf.Prog32](r io.ReaderAt, size, off uint64, n, entrySize uint16, progs []T) error {
	want := binary.Size(progs[:0:0]) // of no entry
	if len(progs) > 0 {
		want = binary.Size(progs[0])
	}
	switch {
	case n == 0:
		return errors.New("the ELF has no program headers: it is not linked, or not a program that can be loaded")
	case n > maxSegments:
		return fmt.Errorf("the ELF has %d program headers; kernels have at most %d", n, maxSegments)
	case int(entrySize) != want:
		return fmt.Errorf("the ELF is damaged: its program headers are of %d bytes, not %d", entrySize, want)
	case off > size || uint64(want)*uint64(n) > size-off:
		return fmt.Errorf("the ELF is truncated: its program headers are at %#x, the file has %#x bytes", off, size)
	}
	return decodeAt(r, off, progs)
}

// decodeAt reads v, a value of fixed size, from offset off.
func decodeAt(r io.ReaderAt, off uint64, v any) error {
	b := make([]byte, binary.Size(v))
	if _, err := r.ReadAt(b, int64(off)); err != nil {
		if errors.Is(err, io.EOF) {
			return errors.New("the ELF is truncated within its headers")
		}
		return err
	}
	_, err := binary.Decode(b, binary.LittleEndian, v)
	return err
}

// checkKind refuses ELF files that are no kernels for this machine.
func checkKind(class elf.Class, h *elf.Header64, progs []elf.Prog64) error {
	want := map[elf.Class]elf.Machine{elf.ELFCLASS64: elf.EM_X86_64, elf.ELFCLASS32: elf.EM_386}[class]
	if m := elf.Machine(h.Machine); m != want {
		return fmt.Errorf("the ELF is for another processor (%v, %v): this machine runs kernels for x86-64 and i386", m, class)
	}
	if t := elf.Type(h.Type); t != elf.ET_EXEC {
		what := map[elf.Type]string{elf.ET_DYN: "a program or library", elf.ET_REL: "an object file or module",
			elf.ET_CORE: "a core dump"}[t]
		return fmt.Errorf("the ELF is %s (%v), not a kernel (ET_EXEC)", cmp.Or(what, "damaged"), t)
	}
	for _, p := range progs {
		switch t := elf.ProgType(p.Type); t {
		case elf.PT_INTERP, elf.PT_DYNAMIC, elf.PT_TLS:
			return fmt.Errorf("the ELF is a program for an operating system, not a kernel: it has a program header %v", t)
		}
	}
	return nil
}

// newELFImage collects segments and notes of the program headers.
func newELFImage(r io.ReaderAt, size uint64, class elf.Class, h *elf.Header64, progs []elf.Prog64) (*elfImage, error) {
	img := &elfImage{bits: 64, entry: h.Entry}
	if class == elf.ELFCLASS32 {
		img.bits = 32
	}
	for i, p := range progs {
		if p.Off > size || p.Filesz > size-p.Off {
			return nil, fmt.Errorf("the ELF is truncated or damaged: program header %d has %#x bytes at %#x, the file has %#x",
				i, p.Filesz, p.Off, size)
		}
		switch elf.ProgType(p.Type) {
		case elf.PT_LOAD:
			if err := img.addSegment(i, p); err != nil {
				return nil, err
			}
		case elf.PT_NOTE:
			if err := img.readNotes(r, p); err != nil {
				return nil, err
			}
		}
	}
	if len(img.segments) == 0 {
		return nil, errors.New("the ELF has nothing to load: no program header of type LOAD that is not empty")
	}
	if n := img.contentSize(); n > maxKernelSize {
		return nil, fmt.Errorf("the ELF is damaged or no kernel: it has %d bytes to load; the limit is %d", n, maxKernelSize)
	}
	slices.SortFunc(img.segments, func(a, b segment) int { return cmp.Compare(a.Addr, b.Addr) })
	for i, s := range img.segments[1:] {
		if before := img.segments[i]; s.Addr < before.end() {
			return nil, fmt.Errorf("the ELF is damaged: its segments at %#x and %#x overlap", before.Addr, s.Addr)
		}
	}
	return img, nil
}

func (img *elfImage) addSegment(i int, p elf.Prog64) error {
	if p.Memsz == 0 && p.Filesz == 0 {
		return nil
	}
	if p.Filesz > p.Memsz {
		return fmt.Errorf("the ELF is damaged: segment %d has %#x bytes in the file and %#x in memory", i, p.Filesz, p.Memsz)
	}
	if p.Paddr > maxImageEnd || p.Memsz > maxImageEnd-p.Paddr {
		return fmt.Errorf("the ELF is damaged or no kernel: segment %d is at physical address %#x with %#x bytes", i, p.Paddr, p.Memsz)
	}
	img.segments = append(img.segments, segment{Addr: p.Paddr, Virtual: p.Vaddr, Offset: p.Off,
		FileSize: p.Filesz, MemSize: p.Memsz, Flags: elf.ProgFlag(p.Flags)})
	return nil
}

// extent returns the range from the first to the last byte in memory.
func (img *elfImage) extent() guestmem.Range {
	start := img.segments[0].Addr
	return guestmem.Range{Start: guestmem.Addr(start), Size: img.segments[len(img.segments)-1].end() - start}
}

// has reports whether a is an address that is loaded.
func (img *elfImage) has(a uint64) bool {
	return slices.ContainsFunc(img.segments, func(s segment) bool { return a >= s.Addr && a < s.end() })
}

// contentSize is the number of bytes to read from the file.
func (img *elfImage) contentSize() uint64 {
	var n uint64
	for _, s := range img.segments {
		n += s.FileSize
	}
	return n
}

// flags shows what may be done with a segment, in the manner of readelf.
func (s segment) flags() string {
	var out strings.Builder
	for _, f := range []struct {
		bit elf.ProgFlag
		c   byte
	}{{elf.PF_R, 'R'}, {elf.PF_W, 'W'}, {elf.PF_X, 'X'}} {
		if s.Flags&f.bit != 0 {
			out.WriteByte(f.c)
		}
	}
	return out.String()
}
