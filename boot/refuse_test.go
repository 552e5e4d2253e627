package boot

import (
	"debug/elf"
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/kvm/guestmem"
)

// with returns linuxBz around a good payload, changed by f.
func with(t *testing.T, f func(*tinyBz)) []byte {
	z := linuxBz(gzipped(t, linuxELF().image(t)))
	f(&z)
	return z.image(t)
}

// withELF returns linuxELF, changed by f.
func withELF(t *testing.T, f func(*tinyELF)) []byte {
	e := linuxELF()
	f(&e)
	return e.image(t)
}

// hugeBz claims to have 4 GiB of code.
func hugeBz(t *testing.T) []byte {
	return with(t, func(z *tinyBz) { z.header.SysSize = 1<<28 - 1 })
}

// hugeELF claims to have 1 GiB to load, once the file is that long.
func hugeELF(t *testing.T) []byte {
	b := linuxELF().image(t)
	binary.LittleEndian.PutUint64(b[64+32:], 1<<30) // p_filesz
	binary.LittleEndian.PutUint64(b[64+40:], 1<<30) // p_memsz
	return b
}

// magicAt returns a page with magic at an offset.
func magicAt(offset int, magic string) []byte {
	b := make([]byte, pageSize)
	copy(b[offset:], magic)
	return b
}

// TestRefusals has for each image that is refused the words by which a person
// knows what is wrong.
func TestRefusals(t *testing.T) {
	good := tinyKernel(t)
	goodELF := linuxELF().image(t)
	for _, tt := range []struct {
		name  string
		image []byte
		want  string
	}{
		{"empty", nil, "it is empty"},
		{"one byte", []byte{0}, "neither a bzImage"},
		{"text", []byte("#!/bin/sh\necho hello\n"), "it is a text file"},
		{"long text", []byte(strings.Repeat("Grüße\n", 10000)), "it is a text file"},
		{"zeros", make([]byte, 10000), "neither a bzImage"},
		{"arm64 Image", magicAt(0x38, "ARM\x64"), "arm64"},
		{"riscv Image", magicAt(0x38, "RSC\x05"), "RISC-V"},
		{"arm zImage", magicAt(0x24, "\x18\x28\x6f\x01"), "32-bit ARM"},
		{"initrd", magicAt(0, "070701"), "cpio"},
		{"compressed initrd", gzipped(t, magicAt(0, "070701")), "compressed by gzip"},
		{"disk", magicAt(0x1fe, "\x55\xaa"), "needs a BIOS"},
		{"EFI program", magicAt(0, "MZ"), "EFI"},

		{"cut in the header", good[:0x220], "cut off"},
		{"cut in the real-mode code", good[:0x400], "no protected-mode part"},
		{"cut in the payload", good[:len(good)-1], "truncated"},
		{"zImage", with(t, func(z *tinyBz) { z.header.LoadFlags = 0 }), "needs a BIOS"},
		{"protocol 2.11", with(t, func(z *tinyBz) { z.header.Version = 0x20b }), "protocol 2.11"},
		{"no protected-mode part", append([]byte{}, good[:(bzSetupSects+1)*sectorSize]...), "no protected-mode part"},
		{"no init_size", with(t, func(z *tinyBz) { z.header.InitSize = 0 }), "init_size"},
		{"alignment", with(t, func(z *tinyBz) { z.header.KernelAlignment = 3 }), "kernel_alignment"},
		{"payload behind the end", with(t, func(z *tinyBz) { z.header.PayloadLength = 1 << 31 }), "damaged: its payload"},
		{"code of 4 GiB", hugeBz(t), "the limit is"},
		{"payload wraps", with(t, func(z *tinyBz) { z.header.PayloadOffset = 1<<32 - 1 }), "damaged: its payload"},
		{"version behind the end", with(t, func(z *tinyBz) { z.header.KernelVersion = 0xffff }), "version string"},
		{"runs below 1 MiB", with(t, func(z *tinyBz) { z.header.PrefAddress = 0x1000 }), "pref_address"},
		{"runs above 4 GiB", with(t, func(z *tinyBz) { z.header.PrefAddress = 1 << 40 }), "below 4 GiB"},
		{"runs at the end of everything", with(t, func(z *tinyBz) { z.header.PrefAddress = 1<<64 - pageSize }), "below 4 GiB"},

		{"unknown compression", with(t, func(z *tinyBz) { z.payload[0] = 0xee }), "no known compression"},
		{"payload is cut", with(t, func(z *tinyBz) { z.header.PayloadLength -= 20 }), "damaged"},
		{"payload has 3 bytes", with(t, func(z *tinyBz) { z.header.PayloadLength = 3 }), "its payload"},
		{"payload is its magic number", with(t, func(z *tinyBz) { copy(z.payload, "\x02\x21\x4c\x18\x10\x00\x00"); z.header.PayloadLength = 7 }), "its payload has only 7 bytes"},
		{"size lies", with(t, func(z *tinyBz) { z.payload[len(z.payload)-4]++ }), "does not decompress"},
		{"size is absurd", with(t, func(z *tinyBz) { z.payload[len(z.payload)-1] = 0xff }), "the limit is"},
		{"size is 0", with(t, func(z *tinyBz) { copy(z.payload[len(z.payload)-4:], "\x00\x00\x00\x00") }), "decompress to 0"},
		{"not an ELF in it", linuxBz(gzipped(t, pattern(5000, 3))).image(t), "not an ELF"},
		{"another system's ELF in it", linuxBz(gzipped(t, withELF(t, func(e *tinyELF) { e.machine = elf.EM_AARCH64 }))).image(t), "AARCH64"},

		{"ELF cut in its header", goodELF[:40], "truncated"},
		{"ELF cut in its program headers", goodELF[:100], "truncated"},
		{"ELF cut in a segment", goodELF[:pageSize+10], "truncated"},
		{"arm64 ELF", withELF(t, func(e *tinyELF) { e.machine = elf.EM_AARCH64 }), "another processor"},
		{"riscv ELF", withELF(t, func(e *tinyELF) { e.machine = elf.EM_RISCV }), "another processor"},
		{"x32 ELF", withELF(t, func(e *tinyELF) { e.bits = 32 }), "another processor"},
		{"big-endian ELF", magicAt(0, "\x7fELF\x02\x02\x01"), "byte order"},
		{"ELF of no class", magicAt(0, "\x7fELF\x07\x01\x01"), "class"},
		{"PIE", withELF(t, func(e *tinyELF) { e.kind = elf.ET_DYN }), "a program or library"},
		{"module", withELF(t, func(e *tinyELF) { e.kind = elf.ET_REL }), "an object file or module"},
		{"static program", withELF(t, func(e *tinyELF) { e.extra = []elf.ProgType{elf.PT_TLS} }), "a program for an operating system"},
		{"many program headers", withELF(t, func(e *tinyELF) { e.extra = make([]elf.ProgType, 60) }), "program headers; kernels have"},
		{"nothing to load", withELF(t, func(e *tinyELF) { e.segments = nil }), "nothing to load"},
		{"no program headers", withELF(t, func(e *tinyELF) { e.segments, e.notes = nil, nil }), "no program headers"},
		{"overlapping segments", withELF(t, func(e *tinyELF) { e.segments[1].addr = e.segments[0].addr + 1 }), "overlap"},
		{"segment behind the file", withELF(t, func(e *tinyELF) { e.segments[0].offset = 1 << 40 }), "truncated or damaged"},
		{"segments of a GiB", hugeELF(t), "the limit is"},
		{"segment at the end of everything", withELF(t, func(e *tinyELF) { e.segments[1].addr = 1<<64 - pageSize }), "physical address"},
		{"segment that wraps", withELF(t, func(e *tinyELF) { e.segments[1].memSize = 1<<64 - 1 }), "damaged"},
		{"segment outside RAM", withELF(t, func(e *tinyELF) { e.segments[1].addr = 5 << 30 }), "has no memory"},
		{"segment above RAM", withELF(t, func(e *tinyELF) { e.segments[1].addr = 100 * mib }), "needs memory up to"},
		{"segment where boot data goes", withELF(t, func(e *tinyELF) { e.segments[1].addr = 0x9000 }), "boot data"},
		{"segment among ACPI tables", withELF(t, func(e *tinyELF) { e.segments[1].addr = 0xe0000 }), "reserved"},
		{"entry outside", withELF(t, func(e *tinyELF) { e.entry = 1 }), "nothing is loaded"},
		{"PVH note of 3 bytes", withELF(t, func(e *tinyELF) { e.notes[1].desc = []byte("abc") }), "not 4 or 8"},
		{"PVH entry above 4 GiB", withELF(t, func(e *tinyELF) { e.notes[1].desc[5] = 1 }), "no 32-bit address"},
		{"note too long", withELF(t, func(e *tinyELF) { e.notes[0].desc = make([]byte, maxNotes) }), "bytes of notes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := file(t, tt.image)
			if strings.HasSuffix(tt.want, "the limit is") { // as long as its header says, though there is nothing in it
				if err := os.Truncate(path, 5<<30); err != nil {
					t.Fatal(err)
				}
			}
			err := openAndLoad(path, EntryAuto)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Errorf("error %q; want the path and %q", err, tt.want)
			}
			if err != nil && !dependsOnMemory(err) {
				checkRefusal(t, path, err)
			}
		})
	}
}

// dependsOnMemory reports whether a kernel was refused for what memory the
// guest has, or for what is in it.
func dependsOnMemory(err error) bool {
	text := err.Error()
	return strings.Contains(text, "it wants to be at") || strings.Contains(text, "it needs memory")
}

// checkRefusal checks that who only looks at an image is told what a start
// says, want.
func checkRefusal(t *testing.T, path string, want error) {
	t.Helper()
	k, err := Open(path)
	if err != nil {
		return // which is what a start says
	}
	defer k.Close()
	info, err := k.Info()
	if err != nil {
		t.Fatal(err)
	}
	if info.Refusal != want.Error() {
		t.Errorf("refusal %q, want %q", info.Refusal, want)
	}
}

// acpi is a range as the vmm reserves it.
var acpi = []Reserved{{guestmem.Range{Start: 0xe0000, Size: 0x20000}, E820ACPI}}

// openAndLoad does what a start does.
func openAndLoad(path string, e Entry) error {
	k, err := Open(path)
	if err != nil {
		return err
	}
	defer k.Close()
	_, err = Load(guestmem.NewHeap(guestmem.Range{Start: 0, Size: 8 * mib}), Config{Kernel: k, Entry: e, Reserved: acpi})
	return err
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ path, want string }{
		{"", "no file is named"},
		{dir, "it is a directory"},
		{fifo, "not a regular file"},
		{os.DevNull, "not a regular file"},
		{filepath.Join(dir, "missing"), "no such file"},
	} {
		if _, err := Open(tt.path); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("kernel %q: error %q, want %q", tt.path, err, tt.want)
		}
		if tt.path == "" {
			continue // no initrd
		}
		k := open(t, tinyKernel(t))
		_, err := Load(ram(t, 16*mib), Config{Kernel: k, Initrd: tt.path})
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "initrd") {
			t.Errorf("initrd %q: error %q, want %q", tt.path, err, tt.want)
		}
	}
	if _, err := Open(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %q is not fs.ErrNotExist", err)
	}
}

// A kernel that lost its end, wherever it was cut, is refused; and nothing
// panics.
func TestTruncated(t *testing.T) {
	for name, image := range map[string][]byte{"bzImage": tinyKernel(t), "ELF": linuxELF().image(t)} {
		path := file(t, image)
		for n := int64(len(image)) - 1; n >= 0; n -= 127 {
			if err := os.Truncate(path, n); err != nil {
				t.Fatal(err)
			}
			if err := openAndLoad(path, EntryAuto); err == nil {
				t.Errorf("%s of %d bytes, cut to %d: no error", name, len(image), n)
			}
		}
	}
}

// Any bit of a bzImage that flips is found by its checksum, but for those in the
// fields that signing changes.
func TestFlippedBits(t *testing.T) {
	z := linuxBz(gzipped(t, linuxELF().image(t)))
	z.signed = true
	image := z.image(t)
	path := file(t, image)
	if err := openAndLoad(path, EntryAuto); err != nil {
		t.Fatalf("signed, not damaged: %v", err)
	}
	signature := func(i int) bool {
		return i >= 0x40+peCheckSum && i < 0x40+peCheckSum+4 || i >= 0x40+peCertificates64 && i < 0x40+peCertificates64+8
	}
	for i := 0; i < len(image); i += 29 {
		image[i] ^= 1 << (i % 8)
		if err := os.WriteFile(path, image, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := openAndLoad(path, EntryAuto); err == nil && !signature(i) {
			t.Errorf("bit %d of byte %#x flipped: no error", i%8, i)
		}
		image[i] ^= 1 << (i % 8)
	}
}

// Kernels from 6.15 on may have no checksum, and images of unknown version.
func TestNoChecksum(t *testing.T) {
	for _, tt := range []struct {
		version string
		want    bool
	}{
		{"6.14.9-amd64", false}, {"2.6.39", false}, {"5.10.0-1 (x) #1", false},
		{"6.15.0", true}, {"6.15-rc1", true}, {"7.0.0", true}, {"10.1", true}, {"", true}, {"custom", true}, {"v6.1", true},
	} {
		z := linuxBz(gzipped(t, linuxELF().image(t)))
		z.noSum, z.version = true, tt.version
		if err := openAndLoad(file(t, z.image(t)), EntryAuto); (err == nil) != tt.want {
			t.Errorf("version %q without checksum: %v", tt.version, err)
		}
	}
}

func TestEntriesThatAKernelDoesNotHave(t *testing.T) {
	bz64 := tinyKernel(t)
	z := linuxBz(gzipped(t, linuxELF32().image(t)))
	z.header.XLoadFlags = 0
	bz32 := z.image(t)
	z.payload, z.header.PayloadLength = nil, 0
	noPayload := z.image(t)
	for _, tt := range []struct {
		image []byte
		entry Entry
		want  string // "" for success
	}{
		{bz64, EntryAuto, ""}, {bz64, EntryELF, ""}, {bz64, EntryPVH, ""}, {bz64, EntryLinux64, ""}, {bz64, EntryLinux32, ""}, {bz64, "", ""},
		{bz32, EntryAuto, ""}, {bz32, EntryELF, ""}, {bz32, EntryLinux32, ""},
		{bz32, EntryPVH, "CONFIG_PVH"}, {bz32, EntryLinux64, "a 32-bit kernel"},
		{noPayload, EntryAuto, ""}, {noPayload, EntryELF, "where its payload is"}, {noPayload, EntryPVH, "where its payload is"},
		{linuxELF().image(t), EntryLinux64, "use elf or pvh"}, {linuxELF().image(t), EntryLinux32, "use elf or pvh"},
		{linuxELF32().image(t), EntryPVH, "CONFIG_PVH"},
		{bz64, "bios", `no kernel entry is called "bios"`},
	} {
		err := openAndLoad(file(t, tt.image), tt.entry)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("entry %q: error %v, want %q", tt.entry, err, tt.want)
		}
	}
}

func TestCutNote(t *testing.T) {
	whole := appendNote(nil, note{"Xen", 18, []byte("12345")})
	for n := range whole {
		if n == len(whole)-3 { // only the padding is missing
			break
		}
		if _, _, err := cutNote(whole[:n], 4); err == nil {
			t.Errorf("%d of %d bytes: no error", n, len(whole))
		}
	}
	huge := binary.LittleEndian.AppendUint32(nil, 1<<32-1)
	huge = append(huge, huge...)
	if _, _, err := cutNote(append(huge, 0, 0, 0, 0), 8); err == nil {
		t.Error("sizes that wrap: no error")
	}
}
