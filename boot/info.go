package boot

import (
	"fmt"
	"io"
	"slices"

	"microvm/kvm/guestmem"
)

// Info is what can be told of a kernel image.
type Info struct {
	Path    string `json:"path"`
	Size    uint64 `json:"size"` // of the file, in bytes
	Format  string `json:"format"`
	Arch    string `json:"arch"`
	Version string `json:"version,omitempty"`

	BzImage *BzImageInfo `json:"bzimage,omitempty"`
	// ELF is the ELF file, or what a bzImage's payload decompresses to.
	// ELFProblem is why a payload could not be decompressed.
	ELF        *ELFInfo `json:"elf,omitempty"`
	ELFProblem string   `json:"elf_problem,omitempty"`

	Entries      []Entry `json:"entries"`       // those that it has
	Auto         Entry   `json:"auto"`          // the one that EntryAuto takes
	CmdlineLimit uint32  `json:"cmdline_limit"` // in bytes, without the NUL
	MemoryNeeded uint64  `json:"memory_needed"` // in bytes, for entry Auto, without initrd and what the kernel allocates
	Config       string  `json:"config,omitempty"`

	// Refusal is Load's error if it refuses the image with EntryAuto however
	// much memory there is, "" if it does not.
	Refusal string `json:"refusal,omitempty"`
}

// BzImageInfo is what a bzImage's setup header says.
type BzImageInfo struct {
	Protocol         string   `json:"protocol"`
	SetupSize        uint64   `json:"setup_size"` // real-mode code, in bytes
	CodeSize         uint64   `json:"code_size"`  // protected-mode code, in bytes
	LoadFlags        []string `json:"load_flags"`
	XLoadFlags       []string `json:"xload_flags"`
	Relocatable      bool     `json:"relocatable"`
	Alignment        uint32   `json:"alignment"`
	PrefAddress      uint64   `json:"pref_address"`
	InitSize         uint32   `json:"init_size"`
	InitrdAddrMax    uint32   `json:"initrd_addr_max"`
	Compression      string   `json:"compression,omitempty"`
	PayloadOffset    uint64   `json:"payload_offset"` // in the file
	PayloadSize      uint64   `json:"payload_size"`
	UncompressedSize uint64   `json:"uncompressed_size,omitempty"`
	Checksum         string   `json:"checksum"` // "good", "wrong", or "none or wrong" where the kernel may have none
}

// ELFInfo is what an ELF's headers and notes say.
type ELFInfo struct {
	Bits     int           `json:"bits"`
	Entry    uint64        `json:"entry"`
	PVHEntry uint64        `json:"pvh_entry,omitempty"`
	Linux    bool          `json:"linux"` // it has notes of Linux' build
	Release  string        `json:"release,omitempty"`
	Segments []SegmentInfo `json:"segments"`
}

// SegmentInfo is a piece of an ELF that is loaded.
type SegmentInfo struct {
	Physical uint64 `json:"physical"`
	Virtual  uint64 `json:"virtual"`
	Offset   uint64 `json:"offset"`
	FileSize uint64 `json:"file_size"`
	MemSize  uint64 `json:"mem_size"`
	Flags    string `json:"flags"` // of R, W, X
}

// Info tells all about k, also what takes time: it reads and decompresses the
// whole image, and searches it for its configuration.
func (k *Kernel) Info() (*Info, error) {
	info := &Info{Path: k.path, Size: k.size, Version: k.Version(), Auto: k.auto(), CmdlineLimit: defaultCmdlineSize}
	img, data := k.elf, io.ReaderAt(k.file)
	if k.bz != nil {
		s, err := info.describeBzImage(k)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: %w", k.path, err)
		}
		if s != nil {
			defer s.close()
			img, data = s.elf, s.data
		}
	}
	info.Format = "ELF"
	if k.bz != nil {
		info.Format = "bzImage"
	}
	if img != nil {
		info.ELF = describeELF(img)
		info.refuse(k, img.check(info.Auto))
		config, err := findConfig(data, img)
		if err != nil {
			return nil, fmt.Errorf("kernel %s: its configuration: %w", k.path, err)
		}
		info.Config = config
	}
	info.Arch = k.arch(img)
	info.Entries = k.entries(img)
	info.MemoryNeeded = k.memoryNeeded(info.Auto, img)
	return info, nil
}

// refuse notes why Load refuses k, if err says so; the first reason is the one
// that Load gives. A kernel that decompresses itself is taken as it is.
func (info *Info) refuse(k *Kernel, err error) {
	decompressor := info.Auto == EntryLinux64 || info.Auto == EntryLinux32
	if err != nil && !decompressor && info.Refusal == "" {
		info.Refusal = fmt.Sprintf("kernel %s: %v", k.path, err)
	}
}

// arch names the processor that the kernel is for.
func (k *Kernel) arch(img *elfImage) string {
	if k.bz != nil && k.decompressorEntry() == EntryLinux32 || k.bz == nil && img.bits == 32 {
		return "i386"
	}
	return "x86-64"
}

// describeBzImage fills in what the image's header says, and returns the
// decompressed kernel, or nil with the reason in ELFProblem.
func (info *Info) describeBzImage(k *Kernel) (*source, error) {
	h := &k.bz.header
	offset, size := k.bz.payload()
	b := &BzImageInfo{
		Protocol: protocol(h.Version), SetupSize: k.bz.setupSize, CodeSize: k.bz.codeSize,
		LoadFlags: flagNames(uint(h.LoadFlags), loadFlagNames), XLoadFlags: flagNames(uint(h.XLoadFlags), xLoadFlagNames),
		Relocatable: h.RelocatableKernel != 0, Alignment: h.KernelAlignment, PrefAddress: h.PrefAddress,
		InitSize: h.InitSize, InitrdAddrMax: h.InitrdAddrMax, PayloadOffset: offset, PayloadSize: size,
	}
	info.BzImage = b
	info.CmdlineLimit = min(h.CmdlineSize, cmdlineRoom-1)
	image, release, err := k.readImage()
	if err != nil {
		return nil, err
	}
	defer release()
	switch {
	case sumOf(image) == 0:
		b.Checksum = "good"
	case hasCheckSum(k.bz.version):
		b.Checksum = "wrong"
	default:
		b.Checksum = "none or wrong"
	}
	info.refuse(k, k.checkSum(image))
	if size == 0 {
		info.ELFProblem = "the header names no payload"
		return nil, nil
	}
	if c, err := k.compression(); err == nil {
		b.Compression = c.name
	}
	s, err := k.unpack(image[offset:][:size])
	if err != nil {
		info.ELFProblem = err.Error()
		info.refuse(k, err)
		return nil, nil
	}
	b.UncompressedSize = s.size
	return s, nil
}

func describeELF(img *elfImage) *ELFInfo {
	e := &ELFInfo{Bits: img.bits, Entry: img.entry, PVHEntry: img.pvhEntry, Linux: img.linux, Release: img.release}
	for _, s := range img.segments {
		e.Segments = append(e.Segments, SegmentInfo{Physical: s.Addr, Virtual: s.Virtual, Offset: s.Offset,
			FileSize: s.FileSize, MemSize: s.MemSize, Flags: s.flags()})
	}
	return e
}

// entries returns the ways into k, whose ELF is img or nil.
func (k *Kernel) entries(img *elfImage) []Entry {
	return slices.DeleteFunc(slices.Clone(Entries), func(e Entry) bool {
		switch {
		case e == EntryAuto || k.checkEntry(e) != nil:
			return true
		case e == EntryELF || e == EntryPVH:
			return img == nil || img.check(e) != nil
		}
		return false
	})
}

// memoryNeeded returns where the kernel, entered by e, ends in memory, which is
// the least memory that a guest can have that starts at address 0.
func (k *Kernel) memoryNeeded(e Entry, img *elfImage) uint64 {
	var r guestmem.Range
	switch {
	case img != nil && (e == EntryELF || e == EntryPVH):
		r = img.extent()
	case k.bz != nil:
		r = guestmem.Range{Start: guestmem.Addr(k.bz.header.PrefAddress), Size: k.bz.extent()}
	}
	return uint64(r.End())
}
