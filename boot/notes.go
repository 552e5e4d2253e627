package boot

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Notes that say what an ELF is: names and types.
const (
	noteXen        = "Xen"
	xenPhys32Entry = 18 // XEN_ELFNOTE_PHYS32_ENTRY: physical address of the PVH entry

	noteLinux      = "Linux"
	linuxBuildSalt = 0x100 // LINUX_ELFNOTE_BUILD_SALT: Debian puts the release here
)

// maxNotes bounds the notes in one program header. Linux has some 500 bytes.
const maxNotes = 64 << 10

// readNotes reads the notes of p.
//
// Preconditions: p lies within the file.
func (img *elfImage) readNotes(r io.ReaderAt, p elf.Prog64) error {
	if p.Filesz > maxNotes {
		return fmt.Errorf("the ELF has %d bytes of notes; kernels have at most %d", p.Filesz, maxNotes)
	}
	b := make([]byte, p.Filesz)
	if _, err := r.ReadAt(b, int64(p.Off)); err != nil {
		return fmt.Errorf("reading notes: %w", err)
	}
	align := uint64(4)
	if p.Align == 8 {
		align = 8
	}
	for len(b) > 0 {
		n, rest, err := cutNote(b, align)
		if err != nil {
			return err
		}
		if err := img.take(n); err != nil {
			return err
		}
		b = rest
	}
	return nil
}

// A note is an entry of an ELF's PT_NOTE segment.
type note struct {
	name string
	kind uint32
	desc []byte
}

// noteHeaderSize is that of name size, descriptor size and type.
const noteHeaderSize = 12

// cutNote returns the first note of b and what follows it.
func cutNote(b []byte, align uint64) (n note, rest []byte, err error) {
	errCut := errors.New("the ELF is damaged: its notes do not fit in their segment")
	if len(b) < noteHeaderSize {
		return n, nil, errCut
	}
	le := binary.LittleEndian
	nameSize, descSize := uint64(le.Uint32(b)), uint64(le.Uint32(b[4:]))
	pad := func(x uint64) uint64 { return (x + align - 1) &^ (align - 1) }
	descStart := pad(noteHeaderSize + nameSize)
	descEnd := descStart + descSize // of 32 bits each: no wrap
	if descEnd > uint64(len(b)) {
		return n, nil, errCut
	}
	name, _, _ := bytes.Cut(b[noteHeaderSize:noteHeaderSize+nameSize], []byte{0})
	n = note{name: string(name), kind: le.Uint32(b[8:]), desc: b[descStart:descEnd]}
	return n, b[min(pad(descEnd), uint64(len(b))):], nil
}

// take keeps what n says if it matters here.
func (img *elfImage) take(n note) error {
	switch {
	case n.name == noteXen && n.kind == xenPhys32Entry:
		entry, err := pvhEntry(n.desc)
		if err != nil {
			return err
		}
		img.pvhEntry = entry
	case n.name == noteLinux:
		img.linux = true
		if n.kind == linuxBuildSalt {
			text, _, _ := bytes.Cut(n.desc, []byte{0})
			img.release = printable(text[:min(len(text), maxVersionString)])
		}
	case n.name == noteCache && n.kind == cacheNoteKind:
		img.cached = decodeCacheNote(n.desc)
	}
	return nil
}

// pvhEntry reads the address in a XEN_ELFNOTE_PHYS32_ENTRY, which has the size
// of the kernel's pointers.
func pvhEntry(desc []byte) (entry uint64, err error) {
	switch len(desc) {
	case 4:
		entry = uint64(binary.LittleEndian.Uint32(desc))
	case 8:
		entry = binary.LittleEndian.Uint64(desc)
	default:
		return 0, fmt.Errorf("the ELF is damaged: its PVH entry note has %d bytes, not 4 or 8", len(desc))
	}
	if entry == 0 || entry >= fourGiB {
		return 0, fmt.Errorf("the ELF is damaged: its PVH entry %#x is no 32-bit address", entry)
	}
	return entry, nil
}
