package boot

import (
	"bytes"
	"encoding/binary"
	"os"
	"strings"
	"testing"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// wantField checks a little-endian field at a. Offsets are literals here: they
// are the protocol's.
func wantField(t *testing.T, mem *guestmem.Memory, a guestmem.Addr, size int, want uint64, what string) {
	t.Helper()
	b := make([]byte, 8)
	if _, err := mem.ReadAt(b[:size], int64(a)); err != nil {
		t.Fatal(err)
	}
	if got := binary.LittleEndian.Uint64(b); got != want {
		t.Errorf("%s at %v: %#x, want %#x", what, a, got, want)
	}
}

func TestZeroPage(t *testing.T) {
	initrd := file(t, pattern(5000, 7))
	mem := ram(t, 64*mib)
	l := load(t, mem, Config{Kernel: open(t, tinyKernel(t)), Initrd: initrd, Cmdline: "console=ttyS0 quiet",
		Reserved: acpi, RSDP: 0xe0000})
	zp := guestmem.Addr(l.Regs.RSI)
	for _, f := range []struct {
		offset guestmem.Addr
		size   int
		want   uint64
		what   string
	}{
		{0x070, 8, 0xe0000, "acpi_rsdp_addr"},
		{0x1e8, 1, 4, "e820_entries"},
		{0x1ef, 1, 0, "sentinel"},
		{0x006, 1, 0, "screen_info.orig_video_mode"},
		{0x1f1, 1, bzSetupSects, "setup_sects"},
		{0x1fe, 2, 0xaa55, "boot_flag"},
		{0x202, 4, 0x53726448, "header"},
		{0x206, 2, 0x20f, "version"},
		{0x210, 1, 0xff, "type_of_loader"},
		{0x211, 1, 1, "loadflags"},
		{0x214, 4, 4 * mib, "code32_start"},
		{0x218, 4, 64*mib - 0x2000, "ramdisk_image"},
		{0x21c, 4, 5000, "ramdisk_size"},
		{0x228, 4, 0x20000, "cmd_line_ptr"},
		{0x22c, 4, 0x7fffffff, "initrd_addr_max"},
		{0x230, 4, 2 * mib, "kernel_alignment"},
		{0x234, 1, 1, "relocatable_kernel"},
		{0x236, 2, 1, "xloadflags"},
		{0x238, 4, 2047, "cmdline_size"},
		{0x250, 8, 0, "setup_data"},
		{0x258, 8, 4 * mib, "pref_address"},
		{0x260, 4, 2 * mib, "init_size"},
		{0x2d0, 8, 0, "e820[0].addr"}, {0x2d8, 8, 0x9fc00, "e820[0].size"}, {0x2e0, 4, 1, "e820[0].type"},
		{0x2e4, 8, 0x9fc00, "e820[1].addr"}, {0x2ec, 8, 0x400, "e820[1].size"}, {0x2f4, 4, 2, "e820[1].type"},
		{0x2f8, 8, 0xe0000, "e820[2].addr"}, {0x300, 8, 0x20000, "e820[2].size"}, {0x308, 4, 3, "e820[2].type"},
		{0x30c, 8, 0x100000, "e820[3].addr"}, {0x314, 8, 63 * mib, "e820[3].size"}, {0x31c, 4, 1, "e820[3].type"},
		{0x320, 8, 0, "behind the memory map"},
	} {
		wantField(t, mem, zp+f.offset, f.size, f.want, f.what)
	}
	wantBytes(t, mem, 0x20000, []byte("console=ttyS0 quiet\x00"))
	wantBytes(t, mem, 64*mib-0x2000, append(pattern(5000, 7), make([]byte, 0x2000-5000)...))
}

// A kernel that comes as an ELF gets the header that it would have in a bzImage.
func TestZeroPageOfAnELF(t *testing.T) {
	mem := ram(t, 64*mib)
	l := load(t, mem, Config{Kernel: open(t, linuxELF().image(t))})
	zp := guestmem.Addr(l.Regs.RSI)
	wantField(t, mem, zp+0x1fe, 2, 0xaa55, "boot_flag")
	wantField(t, mem, zp+0x202, 4, 0x53726448, "header")
	wantField(t, mem, zp+0x206, 2, 0x20f, "version")
	wantField(t, mem, zp+0x210, 1, 0xff, "type_of_loader")
	wantField(t, mem, zp+0x211, 1, 1, "loadflags")
	wantField(t, mem, zp+0x218, 4, 0, "ramdisk_image")
	wantField(t, mem, zp+0x228, 4, 0x20000, "cmd_line_ptr")
	wantField(t, mem, zp+0x236, 2, 3, "xloadflags")
	wantField(t, mem, zp+0x258, 8, 4*mib, "pref_address")
	wantField(t, mem, zp+0x260, 4, 12*pageSize, "init_size")
}

func TestStartInfo(t *testing.T) {
	initrd := file(t, pattern(5000, 7))
	mem := ram(t, 64*mib)
	l := load(t, mem, Config{Kernel: open(t, tinyKernel(t)), Entry: EntryPVH, Initrd: initrd, Cmdline: "quiet",
		Reserved: acpi, RSDP: 0xe0000})
	if l.Regs.RIP != 4*mib+0x20 || l.Regs.RBX != 0xa000 || l.Regs.RSI != 0 {
		t.Errorf("registers %+v", l.Regs)
	}
	at := guestmem.Addr(l.Regs.RBX)
	modules, rows := at+56, at+56+32
	for _, f := range []struct {
		a    guestmem.Addr
		size int
		want uint64
		what string
	}{
		{at, 4, 0x336ec578, "magic"}, {at + 4, 4, 1, "version"}, {at + 8, 4, 0, "flags"}, {at + 12, 4, 1, "nr_modules"},
		{at + 16, 8, uint64(modules), "modlist_paddr"}, {at + 24, 8, 0x20000, "cmdline_paddr"}, {at + 32, 8, 0xe0000, "rsdp_paddr"},
		{at + 40, 8, uint64(rows), "memmap_paddr"}, {at + 48, 4, 4, "memmap_entries"}, {at + 52, 4, 0, "reserved"},
		{modules, 8, 64*mib - 0x2000, "paddr"}, {modules + 8, 8, 5000, "size"}, {modules + 16, 8, 0, "cmdline_paddr"},
		{rows, 8, 0, "addr"}, {rows + 8, 8, 0x9fc00, "size"}, {rows + 16, 4, 1, "type"},
		{rows + 24, 8, 0x9fc00, "addr"}, {rows + 40, 4, 2, "type"},
		{rows + 48, 8, 0xe0000, "addr"}, {rows + 64, 4, 3, "type"},
		{rows + 72, 8, 0x100000, "addr"}, {rows + 80, 8, 63 * mib, "size"}, {rows + 88, 4, 1, "type"},
	} {
		wantField(t, mem, f.a, f.size, f.want, f.what)
	}

	mem = ram(t, 64*mib)
	load(t, mem, Config{Kernel: open(t, tinyKernel(t)), Entry: EntryPVH})
	wantField(t, mem, at+12, 4, 0, "nr_modules without initrd")
	wantField(t, mem, at+16, 8, 0, "modlist_paddr without initrd")
}

func TestEntries(t *testing.T) {
	bz := tinyKernel(t)
	z := linuxBz(gzipped(t, linuxELF32().image(t)))
	z.header.XLoadFlags = 0
	bz32 := z.image(t)
	code := bz[(bzSetupSects+1)*sectorSize:]
	foreign := linuxELF() // another system's kernel
	foreign.notes = foreign.notes[1:]
	for _, tt := range []struct {
		name  string
		image []byte
		entry Entry
		want  Entry
		rip   uint64
		mode  mode
	}{
		{"bzImage", bz, EntryAuto, EntryELF, 4*mib + 0x10, mode64},
		{"bzImage", bz, EntryLinux64, EntryLinux64, 4*mib + 0x200, mode64},
		{"bzImage", bz, EntryLinux32, EntryLinux32, 4 * mib, mode32},
		{"bzImage", bz, EntryPVH, EntryPVH, 4*mib + 0x20, mode32},
		{"i386 bzImage", bz32, EntryAuto, EntryELF, 4*mib + 0x10, mode32},
		{"i386 bzImage", bz32, EntryLinux32, EntryLinux32, 4 * mib, mode32},
		{"vmlinux", linuxELF().image(t), EntryAuto, EntryELF, 4*mib + 0x10, mode64},
		{"vmlinux", linuxELF().image(t), EntryPVH, EntryPVH, 4*mib + 0x20, mode32},
		{"i386 vmlinux", linuxELF32().image(t), EntryAuto, EntryELF, 4*mib + 0x10, mode32},
		{"another system", foreign.image(t), EntryAuto, EntryPVH, 4*mib + 0x20, mode32},
	} {
		t.Run(tt.name+" "+string(tt.entry), func(t *testing.T) {
			mem := ram(t, 16*mib)
			l := load(t, mem, Config{Kernel: open(t, tt.image), Entry: tt.entry})
			if l.Entry != tt.want || l.Regs.RIP != tt.rip || l.mode != tt.mode || l.Regs.RFLAGS != 2 {
				t.Errorf("entry %s, rip %#x, mode %d, rflags %#x", l.Entry, l.Regs.RIP, l.mode, l.Regs.RFLAGS)
			}
			if tt.want == EntryELF || tt.want == EntryPVH {
				wantELF(t, mem, linuxELF())
			} else if tt.image[0] == bz[0] && tt.name == "bzImage" {
				wantBytes(t, mem, 4*mib, code)
			}
			if l.CacheErr != nil || l.CacheHit {
				t.Errorf("no cache was named: %v, hit %v", l.CacheErr, l.CacheHit)
			}
		})
	}
}

// The protected-mode code and the initrd are mapped where file offsets allow.
func TestMappedOrCopied(t *testing.T) {
	initrd := file(t, pattern(3*pageSize, 7))
	z := linuxBz(gzipped(t, linuxELF().image(t)))
	z.header.SetupSects = 0 // which counts as 4
	for _, tt := range []struct {
		name  string
		image []byte
		entry Entry
		want  How
	}{
		{"code on a page", tinyKernel(t), EntryLinux64, Mapped},
		{"code within a page", z.image(t), EntryLinux64, Copied},
		{"decompressed", tinyKernel(t), EntryELF, Copied},
	} {
		mem := ram(t, 16*mib)
		l := load(t, mem, Config{Kernel: open(t, tt.image), Entry: tt.entry, Initrd: initrd})
		for _, p := range l.Kernel {
			if p.How != tt.want {
				t.Errorf("%s: %v is %s", tt.name, p.Range, p.How)
			}
		}
		if l.Initrd.How != Mapped || l.Initrd.Size != 3*pageSize {
			t.Errorf("initrd %+v", l.Initrd)
		}
		wantBytes(t, mem, l.Initrd.Start, pattern(3*pageSize, 7))
	}
}

// What the guest writes to its kernel and initrd stays in its memory.
func TestFilesDoNotChange(t *testing.T) {
	image, path := tinyKernel(t), ""
	path = file(t, image)
	initrd := file(t, pattern(5000, 7))
	mem := ram(t, 16*mib)
	l := load(t, mem, Config{Kernel: openPath(t, path), Entry: EntryLinux64, Initrd: initrd})
	for _, a := range []guestmem.Addr{l.Kernel[0].Start, l.Initrd.Start} {
		if err := mem.CopyIn(a, []byte("guest")); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, image) {
		t.Errorf("the kernel changed: %v", err)
	}
	if got, err := os.ReadFile(initrd); err != nil || !bytes.Equal(got, pattern(5000, 7)) {
		t.Errorf("the initrd changed: %v", err)
	}
}

func TestInitrdPlace(t *testing.T) {
	const gib = 1 << 30
	low := func(n uint64) []guestmem.Range { return []guestmem.Range{{Start: 0, Size: n}} }
	kernel := guestmem.Range{Start: 16 * mib, Size: 8 * mib}
	for _, tt := range []struct {
		name     string
		ram      []guestmem.Range
		max      uint32
		reserved []Reserved
		size     uint64
		want     guestmem.Addr // 0: no room
	}{
		{"at the top", low(64 * mib), 0x7fffffff, nil, 5000, 64*mib - 0x2000},
		{"whole pages", low(64 * mib), 0x7fffffff, nil, 0x2000, 64*mib - 0x2000},
		{"below initrd_addr_max", low(3 * gib), 0x7fffffff, nil, 5000, 2*gib - 0x2000},
		{"initrd_addr_max within a page", low(3 * gib), 0x7ffff7fe, nil, 0x7ff, 2*gib - 0x1000},
		{"initrd_addr_max just too low", low(3 * gib), 0x7ffff7fe, nil, 0x800, 2*gib - 0x2000},
		{"not above 4 GiB", []guestmem.Range{{Start: 0, Size: 32 * mib}, {Start: 4 * gib, Size: gib}}, 0xffffffff, nil, 4096, 32*mib - 0x1000},
		{"not on reserved memory", low(64 * mib), 0x7fffffff, []Reserved{{guestmem.Range{Start: 63 * mib, Size: mib}, E820Reserved}}, 5000, 63*mib - 0x2000},
		{"below the kernel if there is more room", low(25 * mib), 0x7fffffff, nil, 2 * mib, 14 * mib},
		{"exactly fits", low(40 * mib), 0x7fffffff, nil, 16 * mib, 24 * mib},
		{"a byte too much", low(40 * mib), 0x7fffffff, nil, 16*mib + 1, 0},
		{"larger than memory", low(40 * mib), 0x7fffffff, nil, gib, 0},
		{"of absurd size", low(40 * mib), 0x7fffffff, nil, 1<<64 - 1, 0},
	} {
		z := linuxBz(nil)
		z.header.InitrdAddrMax = tt.max
		l := &loader{Config: Config{Kernel: &Kernel{bz: &bzImage{header: z.header}}, Reserved: tt.reserved}, kernel: kernel}
		if tt.name != "of absurd size" {
			l.mem = lazyRAM(t, tt.ram)
		} else {
			l.mem = ram(t, 40*mib)
		}
		a, ok := l.initrdRoom(tt.size)
		if a != tt.want || ok != (tt.want != 0) {
			t.Errorf("%s: at %v, %v; want %v", tt.name, a, ok, tt.want)
		}
	}
}

// lazyRAM is mapped memory, of which nothing is touched.
func lazyRAM(t *testing.T, ranges []guestmem.Range) *guestmem.Memory {
	t.Helper()
	m, err := guestmem.New(ranges...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestInitrdTooLarge(t *testing.T) {
	path := file(t, pattern(10, 1))
	if err := os.Truncate(path, 100*mib); err != nil {
		t.Fatal(err)
	}
	_, err := Load(ram(t, 64*mib), Config{Kernel: open(t, tinyKernel(t)), Initrd: path})
	if err == nil || !strings.Contains(err.Error(), "100 MiB") || !strings.Contains(err.Error(), "64 MiB") {
		t.Errorf("error %v", err)
	}
}

func TestMemoryTooSmall(t *testing.T) {
	for _, entry := range []Entry{EntryELF, EntryLinux64} {
		_, err := Load(ram(t, 4*mib), Config{Kernel: open(t, tinyKernel(t)), Entry: entry})
		if err == nil || !strings.Contains(err.Error(), "the guest has 4 MiB") {
			t.Errorf("entry %s: error %v", entry, err)
		}
	}
	if _, err := Load(ram(t, pageSize), Config{Kernel: open(t, tinyKernel(t))}); err == nil {
		t.Error("one page: no error")
	}
}

func TestCmdline(t *testing.T) {
	z := linuxBz(gzipped(t, linuxELF().image(t)))
	z.header.CmdlineSize = 1 << 30
	wide := z.image(t)
	for _, tt := range []struct {
		name    string
		image   []byte
		cmdline string
		want    string
	}{
		{"none", tinyKernel(t), "", ""},
		{"longest", tinyKernel(t), strings.Repeat("x", 2047), ""},
		{"too long", tinyKernel(t), strings.Repeat("x", 2048), "at most 2047"},
		{"longest for an ELF", linuxELF().image(t), strings.Repeat("x", 2047), ""},
		{"too long for an ELF", linuxELF().image(t), strings.Repeat("x", 2048), "at most 2047"},
		{"longest that we have room for", wide, strings.Repeat("x", 65535), ""},
		{"longer than that", wide, strings.Repeat("x", 65536), "at most 65535"},
		{"NUL", tinyKernel(t), "a\x00b", "NUL"},
		{"line break", tinyKernel(t), "a\nb", "line break"},
	} {
		mem := ram(t, 16*mib)
		_, err := Load(mem, Config{Kernel: open(t, tt.image), Cmdline: tt.cmdline})
		if tt.want == "" {
			if err != nil {
				t.Errorf("%s: %v", tt.name, err)
				continue
			}
			wantBytes(t, mem, 0x20000, append([]byte(tt.cmdline), 0))
		} else if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q", tt.name, err, tt.want)
		}
	}
}

// A header that is shorter than ours has no fields beyond its end.
func TestShortHeader(t *testing.T) {
	image := tinyKernel(t)
	binary.LittleEndian.PutUint32(image[0x264:], 0xdeadbeef)
	image[0x201] = 0x264 - 0x202
	h := decodeSetupHeader(image)
	if h.HandoverOffset != 0 || h.InitSize != 2*mib {
		t.Errorf("handover_offset %#x, init_size %#x", h.HandoverOffset, h.InitSize)
	}
}

func TestSregs(t *testing.T) {
	reset := kvm.Sregs{APICBase: 0xfee00900, CR0: 0x60000010, CR4: 1, LDT: kvm.Segment{Limit: 0xffff, Type: 2, Present: 1}}
	for _, tt := range []struct {
		entry               Entry
		cr0, cr3, cr4, efer uint64
		db, l               uint8
	}{
		{EntryELF, 0x80000011, 0x10000, 0x20, 0x500, 0, 1},
		{EntryLinux64, 0x80000011, 0x10000, 0x20, 0x500, 0, 1},
		{EntryLinux32, 0x11, 0, 0, 0, 1, 0},
		{EntryPVH, 0x11, 0, 0, 0, 1, 0},
	} {
		mem := ram(t, 16*mib)
		s := reset
		load(t, mem, Config{Kernel: open(t, tinyKernel(t)), Entry: tt.entry}).ApplySregs(&s)
		if s.CR0 != tt.cr0 || s.CR3 != tt.cr3 || s.CR4 != tt.cr4 || s.EFER != tt.efer {
			t.Errorf("%s: CR0 %#x CR3 %#x CR4 %#x EFER %#x", tt.entry, s.CR0, s.CR3, s.CR4, s.EFER)
		}
		if s.APICBase != reset.APICBase || s.LDT != reset.LDT {
			t.Errorf("%s: changed what it should not: %+v", tt.entry, s)
		}
		code := kvm.Segment{Limit: 0xffffffff, Selector: 0x10, Type: 0xb, Present: 1, DB: tt.db, S: 1, L: tt.l, G: 1}
		data := kvm.Segment{Limit: 0xffffffff, Selector: 0x18, Type: 0x3, Present: 1, DB: 1, S: 1, G: 1}
		if s.CS != code {
			t.Errorf("%s: CS %+v", tt.entry, s.CS)
		}
		for _, seg := range []kvm.Segment{s.DS, s.ES, s.FS, s.GS, s.SS} {
			if seg != data {
				t.Errorf("%s: a data segment is %+v", tt.entry, seg)
			}
		}
		// The GDT says the same as the hidden parts.
		descriptor := uint64(0x00cf9b000000ffff)
		if tt.l == 1 {
			descriptor = 0x00af9b000000ffff
		}
		wantField(t, mem, guestmem.Addr(s.GDT.Base)+0x10, 8, descriptor, "code descriptor")
		wantField(t, mem, guestmem.Addr(s.GDT.Base)+0x18, 8, 0x00cf93000000ffff, "data descriptor")
		if s.GDT.Limit != 31 {
			t.Errorf("%s: GDT limit %d", tt.entry, s.GDT.Limit)
		}
	}
}

// TestIdentityMap walks the page tables as a processor does.
func TestIdentityMap(t *testing.T) {
	mem := ram(t, 16*mib)
	load(t, mem, Config{Kernel: open(t, tinyKernel(t)), Entry: EntryELF})
	entry := func(table uint64, index uint64) uint64 {
		b, err := mem.Slice(guestmem.Addr(table+8*index), 8)
		if err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint64(b)
	}
	const addressBits = 0x000ffffffffff000
	for _, a := range []uint64{0, 0x9000, 4 * mib, 1<<30 - 1, 1 << 30, 3<<30 + 12345, 1<<32 - 1} {
		pml4e := entry(0x10000, a>>39&511)
		pdpte := entry(pml4e&addressBits, a>>30&511)
		pde := entry(pdpte&addressBits, a>>21&511)
		if pml4e&3 != 3 || pdpte&0x83 != 3 || pde&0x83 != 0x83 {
			t.Errorf("%#x: entries %#x, %#x, %#x", a, pml4e, pdpte, pde)
		}
		if got := pde&^(1<<21-1)&addressBits | a&(1<<21-1); got != a {
			t.Errorf("%#x is mapped to %#x", a, got)
		}
	}
	if e := entry(0x10000, 1); e != 0 {
		t.Errorf("there is more than 512 GiB: %#x", e)
	}
}

func TestMemoryMap(t *testing.T) {
	const gib = 1 << 30
	got := memoryMap([]guestmem.Range{{Start: 0, Size: 3 * gib}, {Start: 4 * gib, Size: gib}},
		[]Reserved{{guestmem.Range{Start: 0xe0000, Size: 0x20000}, E820ACPI}, {guestmem.Range{Start: 2 * gib, Size: 0x1000}, E820NVS}})
	want := []e820Entry{
		{guestmem.Range{Start: 0, Size: 0x9fc00}, E820RAM},
		{guestmem.Range{Start: 0x9fc00, Size: 0x400}, E820Reserved},
		{guestmem.Range{Start: 0xe0000, Size: 0x20000}, E820ACPI},
		{guestmem.Range{Start: 0x100000, Size: 2*gib - 0x100000}, E820RAM},
		{guestmem.Range{Start: 2 * gib, Size: 0x1000}, E820NVS},
		{guestmem.Range{Start: 2*gib + 0x1000, Size: gib - 0x1000}, E820RAM},
		{guestmem.Range{Start: 4 * gib, Size: gib}, E820RAM},
	}
	if len(got) != len(want) {
		t.Fatalf("%d rows: %v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("row %d: %v, want %v", i, got[i], want[i])
		}
	}
}

func TestTooManyReserved(t *testing.T) {
	for _, tt := range []struct {
		entry Entry
		n     int
	}{{EntryELF, 200}, {EntryPVH, 400}} {
		var many []Reserved
		for i := range tt.n {
			many = append(many, Reserved{guestmem.Range{Start: 8*mib + guestmem.Addr(i)*0x2000, Size: 0x1000}, E820Reserved})
		}
		config := Config{Kernel: open(t, tinyKernel(t)), Entry: tt.entry, Reserved: many}
		_, err := Load(ram(t, 16*mib), config)
		if err == nil || !strings.Contains(err.Error(), "rows") {
			t.Errorf("%s: error %v", tt.entry, err)
		}
	}
	// As many rows as there is room for: each range splits RAM, and below
	// 8 MiB there are three rows.
	most := make([]Reserved, (maxStartMemory-3)/2)
	for i := range most {
		most[i] = Reserved{guestmem.Range{Start: 8*mib + guestmem.Addr(i)*0x2000, Size: 0x1000}, E820Reserved}
	}
	load(t, ram(t, 16*mib), Config{Kernel: open(t, tinyKernel(t)), Entry: EntryPVH, Reserved: most})
}

func TestEntryAsFlag(t *testing.T) {
	for _, e := range Entries {
		var got Entry
		if err := got.Set(e.String()); got != e || err != nil {
			t.Errorf("Set(%q) makes it %q, %v", e, got, err)
		}
	}
	var none Entry
	if err := none.Set("bios"); err == nil || !strings.Contains(err.Error(), "linux64") {
		t.Errorf("error %v does not say what there is", err)
	}
	if s := Entry("").String(); s != "auto" {
		t.Errorf("zero value is %q", s)
	}
}
