package boot

import (
	"cmp"
	"slices"

	"microvm/kvm/guestmem"
)

// An E820Type says what a range of addresses is for (x86-boot e820_table; ACPI
// 6.5 §15, address range types).
type E820Type uint32

// Address range types.
const (
	E820RAM      E820Type = 1
	E820Reserved E820Type = 2
	E820ACPI     E820Type = 3 // ACPI tables: free once the kernel has read them
	E820NVS      E820Type = 4 // kept across sleep
)

// A Reserved range is not free for the kernel, whether there is RAM or not.
type Reserved struct {
	guestmem.Range
	Type E820Type
}

// An e820Entry is a row of the memory map.
type e820Entry struct {
	guestmem.Range
	kind E820Type
}

// memoryMap returns the memory map that the kernel is told: RAM, less what a PC
// has no RAM for and what is reserved, and the reserved ranges.
func memoryMap(ram []guestmem.Range, reserved []Reserved) []e820Entry {
	legacy := guestmem.Range{Start: ebdaStart, Size: uint64(highMemory - ebdaStart)}
	taken := []guestmem.Range{legacy}
	entries := []e820Entry{{guestmem.Range{Start: ebdaStart, Size: uint64(baseMemoryEnd - ebdaStart)}, E820Reserved}}
	for _, r := range reserved {
		taken = append(taken, r.Range)
		entries = append(entries, e820Entry{r.Range, r.Type})
	}
	for _, r := range subtract(ram, taken) {
		entries = append(entries, e820Entry{r, E820RAM})
	}
	slices.SortFunc(entries, func(a, b e820Entry) int { return cmp.Compare(a.Start, b.Start) })
	return entries
}

// subtract returns the parts of from, in ascending order, that are in none of
// taken.
func subtract(from, taken []guestmem.Range) []guestmem.Range {
	left := slices.Clone(from)
	for _, t := range taken {
		var next []guestmem.Range
		for _, r := range left {
			if !r.Overlaps(t) {
				next = append(next, r)
				continue
			}
			if r.Start < t.Start {
				next = append(next, guestmem.Range{Start: r.Start, Size: uint64(t.Start - r.Start)})
			}
			if t.End() < r.End() {
				next = append(next, guestmem.Range{Start: t.End(), Size: uint64(r.End() - t.End())})
			}
		}
		left = next
	}
	return left
}
