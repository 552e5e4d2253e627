package guestmem

import (
	"bytes"
	"testing"
)

func TestRelease(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		for _, tt := range []struct {
			name  string
			slice Range // what is asked for
			gone  Range // the whole pages of it
		}{
			{"a page", Range{PageSize, PageSize}, Range{PageSize, PageSize}},
			{"a range of RAM", holed[2], holed[2]},
			{"a page and part of the next", Range{5 * PageSize, 2*PageSize - 1}, Range{5 * PageSize, PageSize}},
			{"parts of two pages", Range{1, 2*PageSize - 2}, Range{}},
			{"part of a page", Range{10, 20}, Range{}},
			{"nothing", Range{PageSize, 0}, Range{}},
		} {
			t.Run(tt.name, func(t *testing.T) {
				for _, r := range holed {
					fill(t, m, r, 0xaa)
				}
				b, err := m.Slice(tt.slice.Start, tt.slice.Size)
				if err != nil {
					t.Fatal(err)
				}
				if err := m.Release(b); err != nil {
					t.Fatal(err)
				}
				for _, r := range holed {
					b, err := m.Slice(r.Start, r.Size)
					if err != nil {
						t.Fatal(err)
					}
					for i, c := range b {
						if a := r.Start + Addr(i); (c == 0) != tt.gone.Contains(a, 1) {
							t.Fatalf("byte %v is %#x; released were %v", a, c, tt.gone)
						}
					}
				}
			})
		}
	})
}

func TestReleaseReturnsMemoryToHost(t *testing.T) {
	r := Range{0, 64 * PageSize}
	m := mapped(t, r)
	smallPages(t, m)
	fill(t, m, r, 0xaa)
	if got := smaps(t, m, r, "Rss"); got != r.Size {
		t.Fatalf("%d bytes resident of %d that were written", got, r.Size)
	}
	b, err := m.Slice(8*PageSize, 16*PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Release(b); err != nil {
		t.Fatal(err)
	}
	if got, want := smaps(t, m, r, "Rss"), r.Size-16*PageSize; got != want {
		t.Errorf("%d bytes resident after the release, want %d", got, want)
	}
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Error("released memory is not zero")
	}
}

// What a guest had written over a mapped file is gone, and the mapping stays.
func TestReleaseOfMappedFile(t *testing.T) {
	contents := pattern(2 * PageSize)
	m := mapped(t, Range{0, 2 * PageSize})
	if err := m.MapFile(0, fileOf(t, contents), 0, 2*PageSize); err != nil {
		t.Fatal(err)
	}
	fill(t, m, Range{0, 2 * PageSize}, 0xaa)
	b, err := m.Slice(0, 2*PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Release(b[:PageSize]); err != nil {
		t.Fatal(err)
	}
	want := append(contents[:PageSize:PageSize], bytes.Repeat([]byte{0xaa}, PageSize)...)
	if !bytes.Equal(b, want) {
		t.Errorf("byte %#x is the first to differ", firstDifference(b, want))
	}
}

func TestReleaseOfOtherMemory(t *testing.T) {
	kinds(t, holed, func(t *testing.T, m *Memory) {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_ = m.Release(make([]byte, 4*PageSize))
	})
}
