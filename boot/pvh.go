package boot

import (
	"encoding/binary"
	"fmt"

	"microvm/kvm/guestmem"
)

// The PVH boot protocol: Xen's docs/misc/pvh.pandoc, and
// xen/include/public/arch-x86/hvm/start_info.h for the structures.
const (
	startInfoMagic   = 0x336ec578 // "xEn3" with the high bit of the E set
	startInfoVersion = 1          // the first with a memory map
)

// A startInfo is struct hvm_start_info.
type startInfo struct {
	Magic         uint32
	Version       uint32
	Flags         uint32 // SIF_xxx: 0 for all but Xen's own domains
	Modules       uint32 // number
	ModuleList    uint64 // address
	Cmdline       uint64 // address
	RSDP          uint64 // address
	MemoryMap     uint64 // address
	MemoryEntries uint32
	_             uint32
}

// A startModule is struct hvm_modlist_entry.
type startModule struct {
	Addr, Size uint64
	Cmdline    uint64 // address, 0 for none
	_          uint64
}

// A startMemory is struct hvm_memmap_table_entry; its types are those of e820.
type startMemory struct {
	Addr, Size uint64
	Type       uint32
	_          uint32
}

// maxStartMemory is the number of rows for which there is room behind struct
// hvm_start_info, of 56 bytes, and one module, of 32.
const maxStartMemory = (startInfoSize - 56 - 32) / 24

// startInfo returns hvm_start_info, its module list and its memory map, one
// after the other, for startInfoAddr.
func (b *bootInfo) startInfo() ([]byte, error) {
	if len(b.memoryMap) > maxStartMemory {
		return nil, fmt.Errorf("the memory map has %d rows, hvm_start_info has room for %d", len(b.memoryMap), maxStartMemory)
	}
	info := startInfo{Magic: startInfoMagic, Version: startInfoVersion, Cmdline: uint64(cmdlineAddr),
		RSDP: uint64(b.rsdp), MemoryEntries: uint32(len(b.memoryMap))}
	at := startInfoAddr + guestmem.Addr(binary.Size(info))
	var modules []startModule
	if b.initrd.Size > 0 {
		modules = []startModule{{Addr: uint64(b.initrd.Start), Size: b.initrd.Size}}
		info.Modules, info.ModuleList = 1, uint64(at)
		at += guestmem.Addr(binary.Size(modules))
	}
	info.MemoryMap = uint64(at)
	rows := make([]startMemory, len(b.memoryMap))
	for i, e := range b.memoryMap {
		rows[i] = startMemory{Addr: uint64(e.Start), Size: e.Size, Type: uint32(e.kind)}
	}
	var out []byte
	for _, part := range []any{&info, modules, rows} {
		var err error
		if out, err = binary.Append(out, binary.LittleEndian, part); err != nil {
			return nil, err
		}
	}
	return out, nil
}
