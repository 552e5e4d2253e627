package boot

import (
	"encoding/binary"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// Bits of the control registers and of EFER (SDM 3A §2.5, §2.2.1).
const (
	cr0PE  = 1 << 0  // protected mode
	cr0ET  = 1 << 4  // always 1
	cr0PG  = 1 << 31 // paging
	cr4PAE = 1 << 5  // page tables with 64-bit entries

	eferLME = 1 << 8  // long mode, once paging is on
	eferLMA = 1 << 10 // long mode is active
)

// rflagsFixed is the bit of RFLAGS that is always 1 (SDM 1 §3.4.3). Interrupts
// are off.
const rflagsFixed = 1 << 1

// Selectors that x86-boot demands: "__BOOT_CS(0x10)", "__BOOT_DS(0x18)".
const (
	bootCS = 0x10
	bootDS = 0x18
)

// Types of segment (SDM 3A §3.4.5.1, §3.5), already accessed or busy, so that
// the processor need not write to the descriptor.
const (
	typeData = 0x3 // read, write
	typeCode = 0xb // execute, read
	typeTSS  = 0xb // of 32 or 64 bits, according to mode
)

// Segment descriptors of 4 GiB from address 0 on (SDM 3A §3.4.5).
const (
	descCode64 = 0x00af9b000000ffff
	descCode32 = 0x00cf9b000000ffff
	descData   = 0x00cf93000000ffff
)

// A mode is the processor state in which a kernel is entered.
type mode int

const (
	// mode32 is protected mode with flat segments and no paging.
	mode32 mode = iota
	// mode64 is long mode, the first 4 GiB mapped to themselves.
	mode64
)

// writeTables puts the GDT, and for mode64 the page tables, into memory.
func (m mode) writeTables(mem *guestmem.Memory) error {
	code := uint64(descCode32)
	if m == mode64 {
		code = descCode64
		if err := mem.CopyIn(pageTableAddr, identityTables()); err != nil {
			return err
		}
	}
	return mem.CopyIn(gdtAddr, words([]uint64{0, 0, code, descData})) // of bootCS and bootDS, eight bytes each
}

const gdtSize = 4 * 8

// Page table entries (SDM 3A §4.5.4).
const (
	pteTable = 1<<0 | 1<<1                // present, writable: a table
	pteLarge = 1<<0 | 1<<1 | 1<<7         // present, writable, a page of 2 MiB
	ptes     = pageSize / 8               // in a table
	tableGiB = 4                          // page directories, one for each GiB
	pageDirs = pageTableAddr + 2*pageSize // behind PML4 and page directory pointer table
)

// identityTables returns page tables that map the first 4 GiB to themselves. They
// use 2 MiB pages: not every processor has larger ones.
func identityTables() []byte {
	t := make([]uint64, (2+tableGiB)*ptes)
	t[0] = uint64(pageTableAddr+pageSize) | pteTable
	for i := range uint64(tableGiB) {
		t[ptes+i] = uint64(pageDirs) + i*pageSize | pteTable
	}
	for i := range uint64(tableGiB * ptes) {
		t[2*ptes+i] = i<<21 | pteLarge
	}
	return words(t)
}

func words(w []uint64) []byte {
	b := make([]byte, 0, 8*len(w))
	for _, v := range w {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

// apply sets s to the state of mode m. The rest of s stays as it is after
// reset.
func (m mode) apply(s *kvm.Sregs) {
	data := kvm.Segment{Limit: 1<<32 - 1, Selector: bootDS, Type: typeData, Present: 1, DB: 1, S: 1, G: 1}
	code := data
	code.Selector, code.Type = bootCS, typeCode
	s.CR0, s.CR3, s.CR4, s.EFER = cr0PE|cr0ET, 0, 0, 0
	if m == mode64 {
		code.DB, code.L = 0, 1
		s.CR0 |= cr0PG
		s.CR3, s.CR4, s.EFER = uint64(pageTableAddr), cr4PAE, eferLME|eferLMA
	}
	s.CS, s.DS, s.ES, s.FS, s.GS, s.SS = code, data, data, data, data, data
	// PVH wants a TSS "with a base of '0' and a limit of '0x67'"; long mode
	// wants one at all.
	s.TR = kvm.Segment{Limit: 0x67, Type: typeTSS, Present: 1}
	s.GDT = kvm.DTable{Base: uint64(gdtAddr), Limit: gdtSize - 1}
	// An exception before the kernel has its own IDT is a triple fault at
	// once, and not a jump through whatever is at address 0.
	s.IDT = kvm.DTable{}
}
