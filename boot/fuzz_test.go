package boot

import (
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microvm/kvm/guestmem"
)

// fuzzRAM is small: every input gets it anew.
const fuzzRAM = 6 * mib

// scratchFile returns a file for one fuzzing process, and what writes it.
func scratchFile(f *testing.F) (path string, write func(*testing.T, []byte)) {
	f.Helper()
	path = filepath.Join(f.TempDir(), "image")
	return path, func(t *testing.T, b []byte) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// smallELF is linuxELF in two pages.
func smallELF() tinyELF {
	e := linuxELF()
	e.segments = e.segments[:1]
	e.segments[0].data = pattern(300, 1)
	return e
}

// FuzzOpen gives files to Open and Load. Law: no panic; an error names the file;
// and whatever is loaded is in memory, apart from boot data and initrd, with the
// entry in it.
func FuzzOpen(f *testing.F) {
	path, write := scratchFile(f)
	initrd := filepath.Join(f.TempDir(), "initrd")
	if err := os.WriteFile(initrd, pattern(5000, 1), 0o600); err != nil {
		f.Fatal(err)
	}
	elf32 := linuxELF32()
	elf32.segments = smallELF().segments
	for i := range Entries {
		f.Add(smallELF().image(f), uint8(i))
		f.Add(elf32.image(f), uint8(i))
		z := linuxBz(gzipped(f, smallELF().image(f)))
		z.noSum, z.version = true, "6.16"
		f.Add(z.image(f), uint8(i))
		z.header.XLoadFlags, z.header.SetupSects = 0, 0
		f.Add(z.image(f), uint8(i))
	}
	f.Fuzz(func(t *testing.T, image []byte, entry uint8) {
		write(t, image)
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: fuzzRAM})
		k, err := Open(path)
		if err == nil {
			defer k.Close()
			var l *Loaded
			l, err = Load(mem, Config{Kernel: k, Entry: Entries[int(entry)%len(Entries)], Initrd: initrd, Reserved: acpi})
			if err == nil {
				checkLoaded(t, mem, l)
			}
			if _, infoErr := k.Info(); infoErr != nil && !strings.Contains(infoErr.Error(), path) {
				t.Errorf("error %q does not name the file", infoErr)
			}
		}
		if err != nil && !strings.Contains(err.Error(), path) && !strings.Contains(err.Error(), initrd) && !strings.Contains(err.Error(), "command line") {
			t.Errorf("error %q does not name the file", err)
		}
	})
}

func checkLoaded(t *testing.T, mem *guestmem.Memory, l *Loaded) {
	t.Helper()
	entered := false
	for _, p := range l.Kernel {
		if !mem.Contains(p.Start, p.Size) || p.Overlaps(bootData) || p.Overlaps(acpi[0].Range) || p.Overlaps(l.Initrd.Range) {
			t.Errorf("kernel at %v, initrd at %v", p.Range, l.Initrd.Range)
		}
		entered = entered || p.Contains(guestmem.Addr(l.Regs.RIP), 1) && l.Regs.RIP < uint64(p.End())
	}
	if !entered {
		t.Errorf("entry at %#x is not in the kernel: %v", l.Regs.RIP, l.Kernel)
	}
	if !mem.Contains(l.Initrd.Start, l.Initrd.Size) || l.Initrd.Size != 5000 {
		t.Errorf("initrd at %v", l.Initrd.Range)
	}
}

// FuzzDecompress gives streams behind the magic number of each compression to
// its decompressor. Law: no panic, and no byte beyond the promised size.
func FuzzDecompress(f *testing.F) {
	for i := range compressions {
		src, err := os.ReadFile(filepath.Join("testdata", "packed", compressions[i].name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(i), uint32(300000), src[len(compressions[i].magic):])
	}
	f.Add(uint8(4), uint32(15), stored([]byte("stored as it is"), lzopAdlerPlain)[len(lzopMagic):])
	f.Fuzz(func(t *testing.T, which uint8, size uint32, src []byte) {
		c := &compressions[int(which)%len(compressions)]
		const guard = 16
		n := size % (512 << 10)
		dst := make([]byte, n+guard)
		_ = c.decompress(dst[:n:n], append([]byte(c.magic), src...))
		for _, b := range dst[n:] {
			if b != 0 {
				t.Fatalf("%s wrote behind %d bytes", c.name, n)
			}
		}
	})
}

// FuzzNotes gives note segments to cutNote. Law: no panic, and an end: each note
// takes bytes.
func FuzzNotes(f *testing.F) {
	var all []byte
	for _, n := range append(linuxELF().notes, note{noteCache, cacheNoteKind, nil}) {
		all = appendNote(all, n)
	}
	f.Add(all, false)
	f.Add(all, true)
	f.Fuzz(func(t *testing.T, b []byte, wide bool) {
		align := uint64(4)
		if wide {
			align = 8
		}
		for len(b) > 0 {
			n, rest, err := cutNote(b, align)
			if err != nil {
				return
			}
			if len(rest) >= len(b) {
				t.Fatalf("%d bytes are left of %d", len(rest), len(b))
			}
			_ = (&elfImage{}).take(n)
			b = rest
		}
	})
}

// FuzzCached puts files into the cache, with the checksum of their first page
// made right. Law: no panic; a kernel that is taken is of whole pages in the
// file; and the start succeeds in any case.
func FuzzCached(f *testing.F) {
	dir := cacheDir(f)
	path := file(f, smallELF().image(f))
	load(f, guestmem.NewHeap(guestmem.Range{Start: 0, Size: fuzzRAM}), Config{Kernel: settled(f, path), CacheDir: dir})
	name := cached(f, dir)
	good, err := os.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	info, err := os.Stat(name)
	if err != nil {
		f.Fatal(err)
	}
	made := info.ModTime() // which the note repeats
	f.Add(good[:0x200], int64(len(good)))
	f.Add(good[:0x80], int64(2*pageSize))
	f.Add([]byte{}, int64(0))
	f.Fuzz(func(t *testing.T, start []byte, size int64) {
		b := append([]byte{}, good...)
		copy(b, start)
		b = b[:min(uint64(len(b)), uint64(size))]
		if len(b) >= pageSize {
			binary.LittleEndian.PutUint32(b[pageSumOffset:], crc32.Checksum(b[:pageSumOffset], castagnoli))
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(name, made, made); err != nil {
			t.Fatal(err)
		}
		k, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		k.opened = k.opened.Add(2 * racyTime)
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: fuzzRAM})
		l, err := Load(mem, Config{Kernel: k, CacheDir: dir})
		if err != nil && !strings.Contains(err.Error(), path) {
			t.Fatal(err)
		}
		if err == nil && !l.CacheHit {
			wantELF(t, mem, smallELF())
		}
	})
}
