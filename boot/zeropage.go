package boot

import (
	"encoding/binary"
	"fmt"

	"microvm/kvm/guestmem"
)

// Offsets in the zero page, struct boot_params (x86-boot zero-page.rst).
const (
	zpRSDP        = 0x070 // acpi_rsdp_addr
	zpE820Entries = 0x1e8 // number of rows of the memory map
	zpE820Table   = 0x2d0
	zpSize        = 0x1000

	e820RowSize = 20
	maxE820Rows = 128
)

// A bootInfo is what the kernel is told, whatever its way in.
type bootInfo struct {
	initrd    guestmem.Range // Size 0: none
	cmdline   string
	memoryMap []e820Entry
	rsdp      guestmem.Addr
}

// writeCmdline puts the command line into memory.
func (b *bootInfo) writeCmdline(mem *guestmem.Memory) error {
	return mem.CopyIn(cmdlineAddr, append([]byte(b.cmdline), 0))
}

// zeroPage returns the zero page with the given setup header, in which it fills
// in what a boot loader must (x86-boot "type: write", "modify" and "reloc").
// Everything else stays zero: no video mode, so that the kernel uses no VGA;
// no BIOS data; the "sentinel" that says that a boot loader knows the fields.
func (b *bootInfo) zeroPage(h setupHeader) ([]byte, error) {
	h.TypeOfLoader = loaderUndefined
	h.LoadFlags &^= canUseHeap | quietFlag | kaslrFlag
	h.CmdLinePtr = uint32(cmdlineAddr)
	h.RamdiskImage = uint32(b.initrd.Start)
	h.RamdiskSize = uint32(b.initrd.Size)
	if len(b.memoryMap) > maxE820Rows {
		return nil, fmt.Errorf("the memory map has %d rows, the zero page has room for %d", len(b.memoryMap), maxE820Rows)
	}
	le := binary.LittleEndian
	page := make([]byte, zpSize)
	le.PutUint64(page[zpRSDP:], uint64(b.rsdp))
	page[zpE820Entries] = byte(len(b.memoryMap))
	for i, e := range b.memoryMap {
		row := page[zpE820Table+i*e820RowSize:]
		le.PutUint64(row, uint64(e.Start))
		le.PutUint64(row[8:], e.Size)
		le.PutUint32(row[16:], uint32(e.kind))
	}
	if _, err := binary.Encode(page[setupHeaderOffset:], le, &h); err != nil {
		return nil, err
	}
	return page, nil
}

// headerForELF is the setup header for a kernel that comes without one, as an
// ELF: what the header of a bzImage made of it would say.
func headerForELF(img *elfImage) setupHeader {
	extent := img.extent()
	h := setupHeader{
		BootFlag: bootFlagMagic, Header: headerMagic, Version: ourProtocol,
		LoadFlags:       loadedHigh,
		InitrdAddrMax:   defaultInitrdAddrMax,
		KernelAlignment: 2 << 20, // CONFIG_PHYSICAL_ALIGN
		CmdlineSize:     defaultCmdlineSize,
		PrefAddress:     uint64(extent.Start),
		InitSize:        uint32(min(extent.Size, fourGiB-1)),
	}
	if img.bits == 64 {
		h.XLoadFlags = xlfKernel64 | xlfCanBeAbove4G
	}
	return h
}
