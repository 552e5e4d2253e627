package boot

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
)

// A cached kernel is a file like this, an ELF that other tools can read, too:
//
//	0        ┌──────────────────────────────────────┐
//	         │ ELF header, program headers          │
//	         │ notes: ours, Linux' release, PVH     │
//	         │ zeros                                │
//	0xffc    │ CRC-32C of the page up to here       │
//	0x1000   ├──────────────────────────────────────┤
//	         │ first segment, in whole pages        │
//	         ├──────────────────────────────────────┤
//	         │ second segment …                     │
//	         └──────────────────────────────────────┘
//
// Every segment is whole pages in the file and in memory, so that it can be
// mapped. Segments that shared a page are one.
const (
	pageSumOffset = pageSize - 4
	elfAlign      = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// An extent is a run of pages in memory, and the segments in it.
type extent struct {
	segment           // the run: Addr and FileSize are whole pages
	parts   []segment // of the original file
}

// extents groups segments, which are in ascending order, into runs of pages that
// do not share a page, and gives each its place in a cached file.
func extents(segments []segment) []extent {
	var out []extent
	for _, s := range segments {
		first := s.Addr &^ (pageSize - 1)
		if n := len(out); n > 0 && first < pageEnd(out[n-1].end()) {
			e := &out[n-1]
			e.parts = append(e.parts, s)
			e.MemSize = s.end() - e.Addr
			if s.FileSize > 0 {
				e.FileSize = pageEnd(s.Addr+s.FileSize) - e.Addr
			}
			e.Flags |= s.Flags
			continue
		}
		run := segment{Addr: first, Virtual: s.Virtual - (s.Addr - first), MemSize: s.end() - first, Flags: s.Flags}
		if s.FileSize > 0 {
			run.FileSize = pageEnd(s.Addr+s.FileSize) - first
		}
		out = append(out, extent{run, []segment{s}})
	}
	offset := uint64(pageSize)
	for i := range out {
		// A mapped page is all of the file's: what the kernel finds behind
		// its bytes in the last one is zero there as in memory.
		out[i].MemSize = max(out[i].MemSize, out[i].FileSize)
		out[i].Offset = offset
		offset += out[i].FileSize
	}
	return out
}

// pageEnd rounds a up to a whole page.
func pageEnd(a uint64) uint64 { return (a + pageSize - 1) &^ (pageSize - 1) }

// errChanged says that the image is not any more what was hashed.
var errChanged = errors.New("the image changed while it was read")

// writeCached writes the kernel s to f, which is empty. It fills in n's sums and
// sizes. If s is an image's file, n.Source must be the hash of what is written:
// under a hash that is another's, a kernel would stay in the cache for ever.
func writeCached(f *os.File, s *source, n *cacheNote) error {
	img := s.elf
	runs := extents(img.segments)
	last := runs[len(runs)-1]
	n.FileSize = last.Offset + last.FileSize
	if n.FileSize > maxKernelSize {
		return fmt.Errorf("%d bytes are more than a cached kernel may have (%d)", n.FileSize, maxKernelSize)
	}
	if err := f.Truncate(int64(n.FileSize)); err != nil { // what is not written is zero
		return err
	}
	sum, err := writeSegments(f, s, runs)
	if err != nil {
		return err
	}
	if s.image && sum != n.Source {
		return errChanged
	}
	if n.ContentSum, err = contentSum(f, n.FileSize); err != nil {
		return err
	}
	page, err := firstPage(img, runs, n)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(page, 0)
	return err
}

// writeSegments writes the segments of s to their places in f. It returns the
// hash of what it wrote if s is an image's file.
func writeSegments(f *os.File, s *source, runs []extent) (h contentHash, err error) {
	sum := newELFSum(s.elf)
	buf := make([]byte, 1<<20)
	for _, run := range runs { // the parts of all runs are in the segments' order
		for _, p := range run.parts {
			to := io.Writer(io.NewOffsetWriter(f, int64(run.Offset+p.Addr-run.Addr)))
			if s.image { // other hashes are not of the ELF, and this one takes time
				sum.begin(p)
				to = io.MultiWriter(to, sum)
			}
			if err := copySegment(to, s.data, p, buf); err != nil {
				return h, err
			}
		}
	}
	return sum.hash(), nil
}

// contentSum returns the CRC-32C of a cached kernel behind its first page.
func contentSum(f io.ReaderAt, size uint64) (uint32, error) {
	sum := crc32.New(castagnoli)
	_, err := io.CopyBuffer(sum, struct{ io.Reader }{io.NewSectionReader(f, pageSize, int64(size-pageSize))}, make([]byte, 1<<20))
	return sum.Sum32(), err
}

// firstPage returns the first page of a cached kernel.
func firstPage(img *elfImage, runs []extent, n *cacheNote) ([]byte, error) {
	notes, err := appendNotes(nil, img, n)
	if err != nil {
		return nil, err
	}
	var progs []elf.Prog64
	for _, r := range runs {
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(r.Flags), Off: r.Offset,
			Vaddr: r.Virtual, Paddr: r.Addr, Filesz: r.FileSize, Memsz: r.MemSize, Align: pageSize})
	}
	progs = append(progs, elf.Prog64{Type: uint32(elf.PT_NOTE), Flags: uint32(elf.PF_R),
		Filesz: uint64(len(notes)), Memsz: uint64(len(notes)), Align: elfAlign})
	if len(progs) > maxSegments {
		return nil, fmt.Errorf("%d segments are too many for a cached kernel", len(runs))
	}
	headers, err := appendHeaders(nil, img, progs)
	if err != nil {
		return nil, err
	}
	page := append(headers, notes...)
	if len(page) > pageSumOffset {
		return nil, fmt.Errorf("%d bytes of headers are too many for a cached kernel", len(page))
	}
	page = append(page, make([]byte, pageSumOffset-len(page))...)
	return binary.LittleEndian.AppendUint32(page, crc32.Checksum(page, castagnoli)), nil
}

// appendHeaders appends the ELF header and the program headers, of which the
// last is for the notes that follow.
func appendHeaders(b []byte, img *elfImage, progs []elf.Prog64) ([]byte, error) {
	if img.bits == 32 {
		return appendHeaders32(b, img, progs)
	}
	h := elf.Header64{Ident: ident(elf.ELFCLASS64), Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64),
		Version: uint32(elf.EV_CURRENT), Entry: img.entry, Phnum: uint16(len(progs))}
	h.Ehsize, h.Phentsize = uint16(binary.Size(h)), uint16(binary.Size(progs[0]))
	h.Phoff = uint64(h.Ehsize)
	progs[len(progs)-1].Off = uint64(binary.Size(h) + binary.Size(progs))
	return appendAll(b, &h, progs)
}

// appendHeaders32 is appendHeaders for a 32-bit kernel.
func appendHeaders32(b []byte, img *elfImage, progs []elf.Prog64) ([]byte, error) {
	narrow := make([]elf.Prog32, len(progs))
	for i, p := range progs {
		narrow[i] = elf.Prog32{Type: p.Type, Flags: p.Flags, Off: uint32(p.Off), Vaddr: uint32(p.Vaddr),
			Paddr: uint32(p.Paddr), Filesz: uint32(p.Filesz), Memsz: uint32(p.Memsz), Align: uint32(p.Align)}
	}
	h := elf.Header32{Ident: ident(elf.ELFCLASS32), Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_386),
		Version: uint32(elf.EV_CURRENT), Entry: uint32(img.entry), Phnum: uint16(len(progs))}
	h.Ehsize, h.Phentsize = uint16(binary.Size(h)), uint16(binary.Size(narrow[0]))
	h.Phoff = uint32(h.Ehsize)
	narrow[len(narrow)-1].Off = uint32(binary.Size(h) + binary.Size(narrow))
	return appendAll(b, &h, narrow)
}

func ident(c elf.Class) (id [elf.EI_NIDENT]byte) {
	copy(id[:], elf.ELFMAG)
	id[elf.EI_CLASS], id[elf.EI_DATA], id[elf.EI_VERSION] = byte(c), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	return id
}

// appendAll appends values of fixed size, little-endian.
func appendAll(b []byte, values ...any) ([]byte, error) {
	var err error
	for _, v := range values {
		if b, err = binary.Append(b, binary.LittleEndian, v); err != nil {
			return nil, err
		}
	}
	return b, nil
}

// appendNotes appends our note, and those of the kernel's that we use.
func appendNotes(b []byte, img *elfImage, n *cacheNote) ([]byte, error) {
	desc, err := appendAll(nil, n)
	if err != nil {
		return nil, err
	}
	b = appendNote(b, note{noteCache, cacheNoteKind, desc})
	if img.linux {
		b = appendNote(b, note{noteLinux, linuxBuildSalt, append([]byte(img.release), 0)})
	}
	if img.pvhEntry != 0 {
		b = appendNote(b, note{noteXen, xenPhys32Entry, binary.LittleEndian.AppendUint64(nil, img.pvhEntry)})
	}
	return b, nil
}

// appendNote appends a note, padded to elfAlign.
func appendNote(b []byte, n note) []byte {
	name := append([]byte(n.name), 0)
	le := binary.LittleEndian
	b = le.AppendUint32(b, uint32(len(name)))
	b = le.AppendUint32(b, uint32(len(n.desc)))
	b = le.AppendUint32(b, n.kind)
	for _, part := range [][]byte{name, n.desc} {
		b = append(b, part...)
		b = append(b, make([]byte, -len(part)&(elfAlign-1))...)
	}
	return b
}

// readCached reads the first page of a cached kernel and checks what can be
// checked at every start: that nobody cut the file or wrote to it, and that the
// page is as it was written. Whether all other pages are, contentSum tells.
func readCached(f *os.File) (*elfImage, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	page := make([]byte, pageSize)
	if _, err := f.ReadAt(page, 0); err != nil {
		return nil, fmt.Errorf("its first page: %w", err)
	}
	if binary.LittleEndian.Uint32(page[pageSumOffset:]) != crc32.Checksum(page[:pageSumOffset], castagnoli) {
		return nil, errors.New("the checksum of its first page is wrong")
	}
	img, err := parseELF(f, uint64(info.Size()))
	if err != nil {
		return nil, err
	}
	switch n := img.cached; {
	case n == nil:
		return nil, errors.New("it has no note of this monitor's")
	case n.FileSize != uint64(info.Size()):
		return nil, fmt.Errorf("it has %d bytes, not the %d that were written", info.Size(), n.FileSize)
	case !info.ModTime().Equal(n.created()):
		return nil, fmt.Errorf("somebody wrote to it at %v", info.ModTime())
	}
	for _, s := range img.segments {
		if (s.Addr|s.Offset|s.FileSize)%pageSize != 0 {
			return nil, fmt.Errorf("its segment at %#x is not of whole pages", s.Addr)
		}
	}
	return img, nil
}
