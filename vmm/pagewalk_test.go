package vmm

import (
	"encoding/binary"
	"strings"
	"testing"

	"microvm/kvm"
	"microvm/kvm/guestmem"
)

// put writes page-table entries of size bytes into memory.
func put(t *testing.T, mem *guestmem.Memory, size int, entries map[guestmem.Addr]uint64) {
	t.Helper()
	for at, e := range entries {
		var raw [8]byte
		binary.LittleEndian.PutUint64(raw[:], e)
		if _, err := mem.WriteAt(raw[:size], int64(at)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWalkPages(t *testing.T) {
	const (
		long  = eferLME
		p     = ptePresent
		large = ptePresent | ptePageSize
	)
	tests := []struct {
		name    string
		sregs   kvm.Sregs
		size    int
		entries map[guestmem.Addr]uint64
		linear  uint64
		phys    guestmem.Addr
		err     string
	}{
		{name: "no paging", linear: 0xfff0, phys: 0xfff0},
		{
			name:  "4-level, 4 KiB page in the kernel's half",
			sregs: kvm.Sregs{CR0: cr0PG, CR4: cr4PAE, EFER: long, CR3: 0x1000},
			size:  8,
			entries: map[guestmem.Addr]uint64{
				0x1000 + 511*8: 0x2000 | p, 0x2000 + 510*8: 0x3000 | p, 0x3000 + 8*8: 0x4000 | p, 0x4000 + 1*8: 0x7000 | p,
			},
			linear: 0xffffffff81001234, phys: 0x7234,
		},
		{
			name:    "4-level, 2 MiB page",
			sregs:   kvm.Sregs{CR0: cr0PG, CR4: cr4PAE, EFER: long, CR3: 0x1000},
			size:    8,
			entries: map[guestmem.Addr]uint64{0x1000: 0x2000 | p, 0x2000: 0x3000 | p, 0x3000 + 8: 0x400000 | large},
			linear:  0x212345, phys: 0x412345,
		},
		{
			name:    "5-level, 1 GiB page, no-execute bit",
			sregs:   kvm.Sregs{CR0: cr0PG, CR4: cr4PAE | cr4LA57, EFER: long, CR3: 0x1000},
			size:    8,
			entries: map[guestmem.Addr]uint64{0x1000: 0x2000 | p, 0x2000: 0x3000 | p, 0x3000: 1<<63 | 0x40000000 | large},
			linear:  0x1234567, phys: 0x41234567,
		},
		{
			name:    "PAE, CR3 aligned to 32 bytes",
			sregs:   kvm.Sregs{CR0: cr0PG, CR4: cr4PAE, CR3: 0x1020},
			size:    8,
			entries: map[guestmem.Addr]uint64{0x1020 + 3*8: 0x2000 | p, 0x2000: 0x600000 | large},
			linear:  0xc0012345, phys: 0x612345,
		},
		{
			name:    "32-bit, 4 MiB page",
			sregs:   kvm.Sregs{CR0: cr0PG, CR4: cr4PSE, CR3: 0x1000},
			size:    4,
			entries: map[guestmem.Addr]uint64{0x1000 + 0x300*4: 0x400000 | large},
			linear:  0xc0012345, phys: 0x412345,
		},
		{
			name:    "32-bit without PSE: bit 7 of a PDE means nothing",
			sregs:   kvm.Sregs{CR0: cr0PG, CR3: 0x1000},
			size:    4,
			entries: map[guestmem.Addr]uint64{0x1000 + 0x300*4: 0x2000 | large, 0x2000 + 0x12*4: 0x5000 | p},
			linear:  0xc0012345, phys: 0x5345,
		},
		{
			name:    "not present",
			sregs:   kvm.Sregs{CR0: cr0PG, CR4: cr4PAE, EFER: long, CR3: 0x1000},
			size:    8,
			entries: map[guestmem.Addr]uint64{0x1000: 0x2000 | p},
			linear:  0x1000, err: "PDPTE at 0x2000 is not present",
		},
		{
			name:   "tables outside RAM",
			sregs:  kvm.Sregs{CR0: cr0PG, CR4: cr4PAE, EFER: long, CR3: 0xf_ffff_ffff_f000},
			linear: ^uint64(0), err: "PML4E at 0xffffffffffff8 is not in RAM",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: 0x10000})
			put(t, mem, tt.size, tt.entries)
			w := walkPages(mem, &tt.sregs, tt.linear)
			switch {
			case tt.err != "":
				if w.Err == nil || !strings.Contains(w.Err.Error(), tt.err) {
					t.Errorf("walk says %v, want an error with %q", w, tt.err)
				}
			case w.Err != nil || w.Phys != tt.phys:
				t.Errorf("walk says %v, want physical %v", w, tt.phys)
			}
		})
	}
}

// FuzzWalkPages: a walk never panics and reads at most one entry a level,
// whatever the guest's registers and tables hold.
func FuzzWalkPages(f *testing.F) {
	f.Add([]byte{1, 0x20, 0}, uint64(0x1000), uint64(cr0PG), uint64(cr4PAE), uint64(eferLME), uint64(0xffffffff81000000))
	f.Add([]byte{}, uint64(0), uint64(cr0PG), uint64(0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, tables []byte, cr3, cr0, cr4, efer, linear uint64) {
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: 0x4000})
		b, err := mem.Slice(0, mem.Size())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b {
			if len(tables) > 0 {
				b[i] = tables[i%len(tables)]
			}
		}
		w := walkPages(mem, &kvm.Sregs{CR0: cr0, CR3: cr3, CR4: cr4, EFER: efer}, linear)
		if len(w.Steps) > len(levels64) {
			t.Errorf("%d steps", len(w.Steps))
		}
		_ = w.String()
	})
}
