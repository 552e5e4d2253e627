package vmm

import (
	"encoding/binary"
	"fmt"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// Control register and EFER bits that say how addresses are translated
// (SDM 3A §4.1.1).
const (
	cr0PE   = 1 << 0
	cr0PG   = 1 << 31
	cr4PSE  = 1 << 4
	cr4PAE  = 1 << 5
	cr4LA57 = 1 << 12
	eferLME = 1 << 8
)

// Bits of a paging-structure entry (SDM 3A §4.5, tables 4-15 to 4-20).
const (
	ptePresent  = 1 << 0
	ptePageSize = 1 << 7
	pteAddr     = 0x000f_ffff_ffff_f000 // bits 51:12
)

// A walk is the way from a linear address through the guest's page tables.
type walk struct {
	Linear uint64
	Steps  []walkStep
	Phys   guestmem.Addr // valid if Err is nil
	Err    error         // why there is no physical address
}

// A walkStep is one entry that the walk read.
type walkStep struct {
	Level string
	At    guestmem.Addr
	Entry uint64
}

// A pagingLevel is one level of tables: by which bits of the linear address it
// is indexed, and whether an entry may map a page itself.
type pagingLevel struct {
	name  string
	shift uint
	bits  uint
	large bool
}

var (
	levels64 = []pagingLevel{
		{"PML5E", 48, 9, false}, {"PML4E", 39, 9, false}, {"PDPTE", 30, 9, true}, {"PDE", 21, 9, true}, {"PTE", 12, 9, false},
	}
	levelsPAE = []pagingLevel{{"PDPTE", 30, 2, false}, {"PDE", 21, 9, true}, {"PTE", 12, 9, false}}
	levels32  = []pagingLevel{{"PDE", 22, 10, true}, {"PTE", 12, 10, false}}
)

// pagingMode returns the levels of tables that s makes a processor walk, and
// the size of their entries; no levels if paging is off.
func pagingMode(s *kvm.Sregs) (levels []pagingLevel, entrySize uint64) {
	switch {
	case s.CR0&cr0PG == 0:
		return nil, 0
	case s.EFER&eferLME != 0 && s.CR4&cr4LA57 != 0:
		return levels64, 8
	case s.EFER&eferLME != 0:
		return levels64[1:], 8
	case s.CR4&cr4PAE != 0:
		return levelsPAE, 8
	}
	return levels32, 4
}

// walkPages translates a linear address as the guest's processor would, and
// keeps each entry on the way. It reads at most one entry a level, wherever
// the guest's tables point.
func walkPages(mem *guestmem.Memory, s *kvm.Sregs, linear uint64) walk {
	w := walk{Linear: linear}
	levels, size := pagingMode(s)
	if levels == nil {
		w.Phys = guestmem.Addr(linear)
		return w
	}
	table := guestmem.Addr(s.CR3 & pteAddr)
	if len(levels) == len(levelsPAE) && size == 8 {
		table = guestmem.Addr(s.CR3 & 0xffff_ffe0) // 32-byte aligned: SDM 3A §4.4.1
	}
	for _, l := range levels {
		at := table + guestmem.Addr((linear>>l.shift&(1<<l.bits-1))*size)
		var raw [8]byte
		if _, err := mem.ReadAt(raw[:size], int64(at)); err != nil {
			w.Err = fmt.Errorf("%s at %v is not in RAM", l.name, at)
			return w
		}
		entry := binary.LittleEndian.Uint64(raw[:])
		w.Steps = append(w.Steps, walkStep{l.name, at, entry})
		if entry&ptePresent == 0 {
			w.Err = fmt.Errorf("%s at %v is not present", l.name, at)
			return w
		}
		isPage := l.shift == 12 || l.large && entry&ptePageSize != 0 && (size == 8 || s.CR4&cr4PSE != 0)
		if isPage {
			offset := uint64(1)<<l.shift - 1
			w.Phys = guestmem.Addr(entry&pteAddr&^offset | linear&offset)
			return w
		}
		table = guestmem.Addr(entry & pteAddr)
	}
	return w
}

func (w walk) String() string {
	s := fmt.Sprintf("%#x:", w.Linear)
	for _, step := range w.Steps {
		s += fmt.Sprintf(" %s %#x", step.Level, step.Entry)
	}
	if w.Err != nil {
		return s + ": " + w.Err.Error()
	}
	return s + " -> physical " + w.Phys.String()
}
