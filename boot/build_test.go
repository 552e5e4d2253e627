package boot

import (
	"bytes"
	"compress/gzip"
	"debug/elf"
	"encoding/binary"
	"hash/adler32"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"

	"microvm/kvm/guestmem"
)

// The kernels of these tests are a few pages of bytes that nobody runs, in
// images that are built here the way that a kernel's build does.

const mib = 1 << 20

// tinyELF describes a kernel as an ELF.
type tinyELF struct {
	bits     int
	kind     elf.Type
	machine  elf.Machine
	entry    uint64
	segments []tinySegment
	notes    []note
	extra    []elf.ProgType // program headers that are empty
}

type tinySegment struct {
	addr, virtual uint64
	data          []byte
	memSize       uint64 // len(data) if 0
	offset        uint64 // in the file, chosen if 0
}

// linuxELF is a kernel of two segments, the second of which ends with some bss.
func linuxELF() tinyELF {
	const at = 4 * mib
	return tinyELF{
		bits: 64, kind: elf.ET_EXEC, machine: elf.EM_X86_64, entry: at + 0x10,
		segments: []tinySegment{
			{addr: at, virtual: 0xffffffff81000000, data: pattern(2*pageSize+100, 1)},
			{addr: at + 8*pageSize, virtual: 0xffffffff81008000, data: pattern(pageSize+7, 2), memSize: 4 * pageSize},
		},
		notes: []note{
			{noteLinux, linuxBuildSalt, []byte("6.1.0-tiny\x00")},
			{noteXen, xenPhys32Entry, binary.LittleEndian.AppendUint64(nil, at+0x20)},
		},
	}
}

// linuxELF32 is the same for i386, without a PVH entry.
func linuxELF32() tinyELF {
	e := linuxELF()
	e.bits, e.machine, e.notes = 32, elf.EM_386, e.notes[:1]
	for i := range e.segments {
		e.segments[i].virtual &= 0xffffffff
	}
	return e
}

// pattern returns n bytes that are not zero and depend on seed.
func pattern(n int, seed byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = 1 + (seed*31+byte(i)+byte(i>>8))%255
	}
	return b
}

// image returns the file.
func (e tinyELF) image(t testing.TB) []byte {
	t.Helper()
	var notes []byte
	for _, n := range e.notes {
		notes = appendNote(notes, n)
	}
	body := make([]byte, pageSize)
	var progs []elf.Prog64
	for _, s := range e.segments {
		p := elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: uint64(len(body)), Vaddr: s.virtual,
			Paddr: s.addr, Filesz: uint64(len(s.data)), Memsz: max(s.memSize, uint64(len(s.data))), Align: pageSize}
		if s.offset != 0 {
			p.Off = s.offset
		}
		progs = append(progs, p)
		body = append(body, s.data...)
		body = append(body, make([]byte, -len(body)&(pageSize-1))...)
	}
	if len(notes) > 0 {
		progs = append(progs, elf.Prog64{Type: uint32(elf.PT_NOTE), Off: uint64(len(body)), Filesz: uint64(len(notes)), Align: 4})
		body = append(body, notes...)
	}
	for _, kind := range e.extra {
		progs = append(progs, elf.Prog64{Type: uint32(kind)})
	}
	copy(body, e.headers(t, progs))
	return body
}

func (e tinyELF) headers(t testing.TB, progs []elf.Prog64) []byte {
	t.Helper()
	if e.bits == 32 {
		h := elf.Header32{Ident: ident(elf.ELFCLASS32), Type: uint16(e.kind), Machine: uint16(e.machine), Version: 1,
			Entry: uint32(e.entry), Phoff: 52, Ehsize: 52, Phentsize: 32, Phnum: uint16(len(progs))}
		narrow := make([]elf.Prog32, len(progs))
		for i, p := range progs {
			narrow[i] = elf.Prog32{Type: p.Type, Flags: p.Flags, Off: uint32(p.Off), Vaddr: uint32(p.Vaddr), Paddr: uint32(p.Paddr),
				Filesz: uint32(p.Filesz), Memsz: uint32(p.Memsz), Align: uint32(p.Align)}
		}
		return encode(t, &h, narrow)
	}
	h := elf.Header64{Ident: ident(elf.ELFCLASS64), Type: uint16(e.kind), Machine: uint16(e.machine), Version: 1,
		Entry: e.entry, Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: uint16(len(progs))}
	return encode(t, &h, progs)
}

func encode(t testing.TB, values ...any) []byte {
	t.Helper()
	b, err := appendAll(nil, values...)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tinyBz describes a bzImage.
type tinyBz struct {
	header   setupHeader
	version  string
	payload  []byte // after 0x40 bytes of decompressor
	noSum    bool   // no checksum at the end
	signed   bool   // with an EFI header, changed after the checksum was made
	trailing []byte // behind the protected-mode code
}

const (
	bzVersionOffset = 0x300
	bzPayloadOffset = 0x240
	bzSetupSects    = 7 // with the first sector one page: the code can be mapped
)

// linuxBz is a bzImage around payload.
func linuxBz(payload []byte) tinyBz {
	return tinyBz{
		header: setupHeader{
			SetupSects: bzSetupSects, BootFlag: bootFlagMagic, Header: headerMagic, Version: ourProtocol,
			Jump: 0x6aeb, KernelVersion: bzVersionOffset - 0x200, LoadFlags: loadedHigh, InitrdAddrMax: defaultInitrdAddrMax,
			KernelAlignment: 2 * mib, RelocatableKernel: 1, XLoadFlags: xlfKernel64, CmdlineSize: defaultCmdlineSize,
			PayloadOffset: bzPayloadOffset, PayloadLength: uint32(len(payload)), PrefAddress: 4 * mib, InitSize: 2 * mib,
		},
		version: "6.1.0-tiny (somebody@somewhere) #1", payload: payload,
	}
}

// image returns the file. SysSize is set to fit if it is 0.
func (z tinyBz) image(t testing.TB) []byte {
	t.Helper()
	sects := int(z.header.SetupSects)
	if sects == 0 {
		sects = sectsIfZero
	}
	code := append(pattern(bzPayloadOffset, 9), z.payload...)
	code = append(code, make([]byte, paragraph+-len(code)&(paragraph-1))...)
	if z.header.SysSize == 0 {
		z.header.SysSize = uint32(len(code) / paragraph)
	}
	setup := make([]byte, (sects+1)*sectorSize)
	copy(setup[setupHeaderOffset:], encode(t, &z.header))
	copy(setup[min(bzVersionOffset, len(setup)):], z.version)
	if z.signed {
		binary.LittleEndian.PutUint32(setup[peOffset:], 0x40)
		copy(setup[0x40:], "PE\x00\x00")
		binary.LittleEndian.PutUint16(setup[0x40+peMagic:], peMagic64)
	}
	b := append(setup, code...)
	if !z.noSum {
		binary.LittleEndian.PutUint32(b[len(b)-4:], ^crc32.ChecksumIEEE(b[:len(b)-4]))
	}
	if z.signed {
		copy(b[0x40+peCheckSum:], "\x01\x02\x03\x04")
		copy(b[0x40+peCertificates64:], "\x05\x06\x07\x08\x09\x0a\x0b\x0c")
	}
	return append(b, z.trailing...)
}

// gzipped is a payload of plain.
func gzipped(t testing.TB, plain []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// tinyKernel is a bzImage with linuxELF in it.
func tinyKernel(t testing.TB) []byte {
	t.Helper()
	return linuxBz(gzipped(t, linuxELF().image(t))).image(t)
}

// file writes b to a new file and returns its path.
func file(t testing.TB, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// open opens an image in a new file.
func open(t testing.TB, b []byte) *Kernel {
	t.Helper()
	return openPath(t, file(t, b))
}

func openPath(t testing.TB, path string) *Kernel {
	t.Helper()
	k, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.Close() })
	return k
}

// ram is size bytes of mapped memory from address 0.
func ram(t testing.TB, size uint64) *guestmem.Memory {
	t.Helper()
	m, err := guestmem.New(guestmem.Range{Start: 0, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// load loads c into mem.
func load(t testing.TB, mem *guestmem.Memory, c Config) *Loaded {
	t.Helper()
	l, err := Load(mem, c)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// wantBytes checks what is in memory at a.
func wantBytes(t testing.TB, mem *guestmem.Memory, a guestmem.Addr, want []byte) {
	t.Helper()
	got, err := mem.Slice(a, uint64(len(want)))
	if err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("at %v: %#02x, want %#02x", a+guestmem.Addr(i), got[i], want[i])
			return
		}
	}
}

// wantELF checks that the segments of e are in memory, with zeros behind them.
func wantELF(t testing.TB, mem *guestmem.Memory, e tinyELF) {
	t.Helper()
	for _, s := range e.segments {
		want := append([]byte{}, s.data...)
		if n := int(s.memSize) - len(want); n > 0 {
			want = append(want, make([]byte, n)...)
		}
		wantBytes(t, mem, guestmem.Addr(s.addr), want)
	}
}

func adlerOf(b []byte) uint32 { return adler32.Checksum(b) }
func crcOf(b []byte) uint32   { return crc32.ChecksumIEEE(b) }
