package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// A Config says what to put into memory.
type Config struct {
	Kernel  *Kernel
	Initrd  string // path of the initial RAM disk, "" for none
	Cmdline string // kernel command line, without a NUL
	Entry   Entry

	// Reserved are ranges that hold something else, such as ACPI tables.
	// The kernel is told of them, and nothing is put there.
	Reserved []Reserved
	// RSDP is the address of ACPI's root pointer, 0 if the kernel is to
	// look for it itself.
	RSDP guestmem.Addr

	// CacheDir is where decompressed kernels are kept ([OpenCache]), ""
	// for nowhere. That it cannot be used is no error: see
	// [Loaded.CacheErr].
	CacheDir string
}

// How says how bytes of a file came into memory.
type How string

// Ways into memory.
const (
	Mapped How = "mapped" // the file's own pages, copied when the guest writes to them
	Copied How = "copied"
)

// A Placement is what was put where.
type Placement struct {
	guestmem.Range
	How How
}

// Loaded is what Load did.
type Loaded struct {
	Entry Entry    // how the kernel is entered; never EntryAuto
	Regs  kvm.Regs // of the first vCPU

	Kernel []Placement
	Initrd Placement // Size 0 if there is none

	// CacheHit says that the decompressed kernel was in the cache. CacheErr
	// is why the cache was not used, nil if it was or none was wanted.
	CacheHit bool
	CacheErr error
	Phases   []Phase

	mode   mode
	kernel *Kernel
}

// A Phase is a part of the loading and the time that it took.
type Phase struct {
	Name string        `json:"name"`
	Took time.Duration `json:"took_ns"`
}

// ApplySregs sets s, the special registers of a vCPU after reset, to the state
// in which the kernel is entered.
func (l *Loaded) ApplySregs(s *kvm.Sregs) { l.mode.apply(s) }

// Load puts kernel, initrd, command line and what else the kernel must find
// into mem, and says how to enter it.
//
// What it changed in mem after an error is undefined.
//
// Preconditions: mem is as it was made, all zero, but for the reserved ranges.
func Load(mem *guestmem.Memory, c Config) (*Loaded, error) {
	l := &loader{Config: c, mem: mem, out: &Loaded{kernel: c.Kernel}}
	defer l.close()
	for _, step := range []func() error{l.checkMemory, l.chooseEntry, l.checkCmdline, l.openInitrd, l.openImage,
		l.placeKernel, l.placeInitrd, l.writeBootData} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return l.out, nil
}

// A loader is one call of Load.
type loader struct {
	Config
	mem *guestmem.Memory
	out *Loaded

	initrdFile *os.File // nil: none
	initrdSize uint64

	image  *source        // the ELF, for the entries that have one
	kernel guestmem.Range // what the kernel takes until it reads the memory map
	initrd guestmem.Range
}

func (l *loader) close() {
	if l.image != nil {
		l.image.close()
	}
	if l.initrdFile != nil {
		l.initrdFile.Close()
	}
}

// phase notes that the work since start is over.
func (l *loader) phase(name string, start time.Time) {
	l.out.Phases = append(l.out.Phases, Phase{name, time.Since(start)})
}

// errorf is an error that names the kernel's file.
func (l *loader) errorf(format string, args ...any) error {
	return fmt.Errorf("kernel %s: %w", l.Kernel.path, fmt.Errorf(format, args...))
}

// checkMemory checks that there is RAM where boot data goes.
func (l *loader) checkMemory() error {
	if !l.mem.Contains(0, uint64(baseMemoryEnd)) {
		return fmt.Errorf("the guest has %d KiB of memory: a PC has at least 1024", l.mem.Size()>>10)
	}
	for _, r := range l.Reserved {
		if r.Overlaps(bootData) {
			return fmt.Errorf("reserved range %v overlaps boot data at %v", r.Range, bootData)
		}
	}
	return nil
}

// chooseEntry resolves EntryAuto, and refuses an entry that the image cannot
// have.
func (l *loader) chooseEntry() error {
	e := Entry(l.Entry.String())
	if err := e.Set(string(e)); err != nil {
		return err
	}
	if e == EntryAuto {
		e = l.Kernel.auto()
	}
	l.out.Entry = e
	if err := l.Kernel.checkEntry(e); err != nil {
		return l.errorf("%w", err)
	}
	return nil
}

// auto is what EntryAuto means for k.
func (k *Kernel) auto() Entry {
	switch {
	case k.bz != nil && k.bz.header.PayloadLength > 0:
		return EntryELF
	case k.bz != nil:
		return k.decompressorEntry()
	case k.elf.pvhEntry != 0 && !k.elf.linux:
		return EntryPVH // another system's kernel: it knows no zero page
	}
	return EntryELF
}

// checkEntry refuses an entry that k cannot have. Whether a payload has a PVH
// entry is seen when it is decompressed.
func (k *Kernel) checkEntry(e Entry) error {
	decompressor := e == EntryLinux64 || e == EntryLinux32
	var why string
	switch {
	case decompressor && k.bz == nil:
		why = "it is an ELF, which has no decompressor: use elf or pvh"
	case e == EntryLinux64 && k.bz.header.XLoadFlags&xlfKernel64 == 0:
		why = "it is a 32-bit kernel (xloadflags without XLF_KERNEL_64): use auto or linux32"
	case !decompressor && k.bz != nil && k.bz.header.PayloadLength == 0:
		why = "it does not say where its payload is: use auto or " + string(k.decompressorEntry())
	case k.elf != nil:
		return k.elf.check(e)
	default:
		return nil
	}
	return noEntryError{e, why}
}

// A noEntryError says why a kernel cannot be entered in some way.
type noEntryError struct {
	entry Entry
	why   string
}

func (e noEntryError) Error() string { return fmt.Sprintf("no entry %s: %s", e.entry, e.why) }

// check refuses an entry that img does not have.
func (img *elfImage) check(e Entry) error {
	at := img.entry
	if e == EntryPVH {
		at = img.pvhEntry
		if at == 0 {
			return noEntryError{e, "it has no note XEN_ELFNOTE_PHYS32_ENTRY; Linux has one if CONFIG_PVH is set"}
		}
	}
	if !img.has(at) {
		return noEntryError{e, fmt.Sprintf("it would be at %#x, where nothing is loaded", at)}
	}
	return nil
}

// openImage opens the ELF, if it is what is to be entered.
func (l *loader) openImage() (err error) {
	switch l.out.Entry {
	case EntryLinux64, EntryLinux32:
		return nil
	}
	if l.image, err = l.openELF(); err != nil {
		return l.errorf("%w", err)
	}
	if err := l.image.elf.check(l.out.Entry); err != nil {
		return l.errorf("%w", err)
	}
	return nil
}

// checkCmdline refuses a command line that the kernel would cut or misread.
func (l *loader) checkCmdline() error {
	limit := uint64(min(l.header().CmdlineSize, cmdlineRoom-1))
	switch n := uint64(len(l.Cmdline)); {
	case n > limit:
		return fmt.Errorf("the kernel command line has %d bytes; this kernel takes at most %d", n, limit)
	case strings.ContainsAny(l.Cmdline, "\x00\n\r"):
		return fmt.Errorf("the kernel command line has a NUL or a line break in it: %q", l.Cmdline)
	}
	return nil
}

// header is the setup header to hand over.
func (l *loader) header() setupHeader {
	if bz := l.Kernel.bz; bz != nil {
		h := bz.header
		h.Code32Start = uint32(h.PrefAddress)
		return h
	}
	return headerForELF(l.Kernel.elf)
}

// placeKernel puts the kernel's code into memory.
func (l *loader) placeKernel() error {
	defer l.phase("kernel into memory", time.Now())
	if l.image != nil {
		return l.placeELF()
	}
	bz := l.Kernel.bz
	l.kernel = guestmem.Range{Start: guestmem.Addr(bz.header.PrefAddress), Size: bz.extent()}
	if err := l.checkFree(l.kernel); err != nil {
		return err
	}
	return l.put(segment{Addr: bz.header.PrefAddress, Offset: bz.setupSize, FileSize: bz.codeSize, MemSize: bz.codeSize},
		l.Kernel.file, bz.setupSize%pageSize == 0)
}

// placeELF puts the segments of an ELF into memory.
func (l *loader) placeELF() error {
	l.kernel = l.image.elf.extent()
	for _, s := range l.image.elf.segments {
		if err := l.checkFree(guestmem.Range{Start: guestmem.Addr(s.Addr), Size: s.MemSize}); err != nil {
			return err
		}
	}
	for _, s := range l.image.elf.segments {
		if err := l.put(s, l.image.data, l.image.aligned); err != nil {
			return err
		}
	}
	return nil
}

// checkFree checks that r is RAM, and free.
func (l *loader) checkFree(r guestmem.Range) error {
	if r.Overlaps(bootData) {
		return l.errorf("it wants to be at %v, where boot data goes (%v)", r, bootData)
	}
	for _, taken := range l.Reserved {
		if r.Overlaps(taken.Range) {
			return l.errorf("it wants to be at %v, of which %v is reserved", r, taken.Range)
		}
	}
	if l.mem.Contains(r.Start, r.Size) {
		return nil
	}
	if r.End() <= lowMemoryMax {
		return l.errorf("it needs memory up to %#x, that is %d MiB; the guest has %d MiB",
			uint64(r.End()), mebibytes(uint64(r.End())), l.mem.Size()>>20)
	}
	return l.errorf("it wants to be at %v, where the guest has no memory (it has %v)", r, l.mem.Ranges())
}

// put puts a segment into memory: mapped, if mappable says that file offset
// and address are whole pages, or copied.
func (l *loader) put(s segment, data io.ReaderAt, mappable bool) error {
	a := guestmem.Addr(s.Addr)
	how, err := putBytes(l.mem, a, data, s.Offset, s.FileSize, mappable)
	if err != nil {
		return l.errorf("%w", err)
	}
	l.out.Kernel = append(l.out.Kernel, Placement{guestmem.Range{Start: a, Size: s.MemSize}, how})
	return nil
}

// putBytes puts n bytes of data from offset off on to address a. A file that
// cannot be mapped, because of the file system that it is on, is copied.
func putBytes(mem *guestmem.Memory, a guestmem.Addr, data io.ReaderAt, off, n uint64, mappable bool) (How, error) {
	if f, ok := data.(*os.File); ok && mappable && mem.MapFile(a, f, int64(off), n) == nil {
		return Mapped, nil
	}
	b, err := mem.Slice(a, n)
	if err != nil {
		return "", err
	}
	if _, err := io.ReadFull(io.NewSectionReader(data, int64(off), int64(n)), b); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return "", fmt.Errorf("the file has become shorter while it was read")
		}
		return "", err
	}
	return Copied, nil
}

// openInitrd opens the initrd, before anything that takes time.
func (l *loader) openInitrd() (err error) {
	if l.Initrd != "" {
		l.initrdFile, l.initrdSize, err = openRegular("initrd", l.Initrd)
	}
	return err
}

// placeInitrd puts the initrd at the top of low memory, where no kernel
// decompresses to unless memory is full.
func (l *loader) placeInitrd() error {
	if l.initrdFile == nil {
		return nil
	}
	defer l.phase("initrd into memory", time.Now())
	a, ok := l.initrdRoom(l.initrdSize)
	if !ok {
		return fmt.Errorf("initrd %s: it has %d MiB, for which there is no room: the guest has %d MiB of memory, "+
			"the kernel is at %v and takes initrds below %#x",
			l.Initrd, mebibytes(l.initrdSize), l.mem.Size()>>20, l.kernel, uint64(l.header().InitrdAddrMax)+1)
	}
	how, err := putBytes(l.mem, a, l.initrdFile, 0, l.initrdSize, true)
	if err != nil {
		return fmt.Errorf("initrd %s: %w", l.Initrd, err)
	}
	l.initrd = guestmem.Range{Start: a, Size: l.initrdSize}
	l.out.Initrd = Placement{l.initrd, how}
	return nil
}

// mebibytes rounds n bytes up to MiB.
func mebibytes(n uint64) uint64 { return (n + 1<<20 - 1) >> 20 }

// initrdRoom finds the highest free page from which on size bytes are free, and
// the kernel would look for an initrd.
func (l *loader) initrdRoom(size uint64) (guestmem.Addr, bool) {
	limit := min(uint64(l.header().InitrdAddrMax)+1, fourGiB)
	beyond := guestmem.Range{Start: guestmem.Addr(limit), Size: maxImageEnd - limit}
	taken := []guestmem.Range{{Start: 0, Size: uint64(highMemory)}, l.kernel, beyond}
	for _, r := range l.Reserved {
		taken = append(taken, r.Range)
	}
	for _, free := range slices.Backward(subtract(l.mem.Ranges(), taken)) {
		if free.Size < size {
			continue
		}
		if a := (free.End() - guestmem.Addr(size)).AlignDown(pageSize); a >= free.Start {
			return a, true
		}
	}
	return 0, false
}

// writeBootData writes command line, tables, and zero page or start info, and
// sets the registers.
func (l *loader) writeBootData() error {
	defer l.phase("boot data", time.Now())
	info := &bootInfo{initrd: l.initrd, cmdline: l.Cmdline, rsdp: l.RSDP,
		memoryMap: memoryMap(l.mem.Ranges(), l.Reserved)}
	if err := info.writeCmdline(l.mem); err != nil {
		return err
	}
	l.setEntry()
	if err := l.out.mode.writeTables(l.mem); err != nil {
		return err
	}
	if l.out.Entry == EntryPVH {
		start, err := info.startInfo()
		if err != nil {
			return err
		}
		return l.mem.CopyIn(startInfoAddr, start)
	}
	page, err := info.zeroPage(l.header())
	if err != nil {
		return err
	}
	return l.mem.CopyIn(zeroPageAddr, page)
}

// setEntry sets mode and general registers for the entry.
func (l *loader) setEntry() {
	regs, m := &l.out.Regs, &l.out.mode
	// x86-boot: "%esi must hold the base address of the struct boot_params;
	// %ebp, %edi and %ebx must be zero".
	*regs = kvm.Regs{RFLAGS: rflagsFixed, RSI: uint64(zeroPageAddr)}
	switch l.out.Entry {
	case EntryLinux64:
		*m, regs.RIP = mode64, uint64(l.kernel.Start)+linux64EntryOffset
	case EntryLinux32:
		*m, regs.RIP = mode32, uint64(l.kernel.Start)
	case EntryPVH:
		*m, regs.RIP = mode32, l.image.elf.pvhEntry
		regs.RSI, regs.RBX = 0, uint64(startInfoAddr)
	default:
		*m, regs.RIP = mode64, l.image.elf.entry
		if l.image.elf.bits == 32 {
			*m = mode32
		}
	}
}
