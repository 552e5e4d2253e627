package guestmem

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// fileOf returns an open file with the given contents.
func fileOf(t *testing.T, contents []byte) *os.File {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, contents, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// pattern returns n bytes that are not zero and differ from page to page.
func pattern(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(1 + i%251)
	}
	return b
}

func TestMapFile(t *testing.T) {
	contents := pattern(3*PageSize + 100)
	f := fileOf(t, contents)
	for _, tt := range []struct {
		name   string
		off, n uint64
	}{
		{"all of it", 0, uint64(len(contents))},
		{"from the second page on", PageSize, uint64(len(contents)) - PageSize},
		{"whole pages", 0, 3 * PageSize},
		{"ends within a page, and the file goes on", 0, PageSize + 10},
		{"within the last page", 3 * PageSize, 50},
		{"one byte", 0, 1},
		{"nothing", PageSize, 0},
		{"nothing at the end", 3 * PageSize, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const at = 16 * PageSize
			kinds(t, []Range{{at, 5 * PageSize}}, func(t *testing.T, m *Memory) {
				fill(t, m, m.Ranges()[0], 0xee)
				if err := m.MapFile(at, f, int64(tt.off), tt.n); err != nil {
					t.Fatal(err)
				}
				b, err := m.Slice(at, 5*PageSize)
				if err != nil {
					t.Fatal(err)
				}
				want := append([]byte{}, contents[tt.off:tt.off+tt.n]...)
				want = append(want, make([]byte, -len(want)&(PageSize-1))...)
				want = append(want, bytes.Repeat([]byte{0xee}, len(b)-len(want))...)
				if !bytes.Equal(b, want) {
					t.Errorf("byte %#x is the first to differ", firstDifference(b, want))
				}
			})
		})
	}
}

func firstDifference(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

func TestMapFileIsCopyOnWrite(t *testing.T) {
	contents := pattern(2 * PageSize)
	f := fileOf(t, contents)
	kinds(t, []Range{{0, 4 * PageSize}}, func(t *testing.T, one *Memory) {
		two := mapped(t, Range{0, 4 * PageSize})
		for _, m := range []*Memory{one, two} {
			if err := m.MapFile(PageSize, f, 0, 2*PageSize); err != nil {
				t.Fatal(err)
			}
		}
		if err := one.CopyIn(PageSize, []byte("changed")); err != nil {
			t.Fatal(err)
		}
		other := make([]byte, 2*PageSize)
		if _, err := two.ReadAt(other, PageSize); err != nil || !bytes.Equal(other, contents) {
			t.Errorf("the other memory changed: %q, %v", other[:8], err)
		}
		onDisk, err := os.ReadFile(f.Name())
		if err != nil || !bytes.Equal(onDisk, contents) {
			t.Errorf("the file changed: %q, %v", onDisk[:8], err)
		}
	})
}

func TestMapFileSharesCleanPages(t *testing.T) {
	const pages = 64
	contents := pattern(pages * PageSize)
	f := fileOf(t, contents)
	r := Range{0, pages * PageSize}
	one, two := mapped(t, r), mapped(t, r)
	for _, m := range []*Memory{one, two} {
		if err := m.MapFile(0, f, 0, r.Size); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, r.Size)
		if _, err := m.ReadAt(got, 0); err != nil || !bytes.Equal(got, contents) {
			t.Fatalf("contents differ, %v", err)
		}
	}
	if got := smaps(t, one, r, "Anonymous"); got != 0 {
		t.Errorf("%d bytes are copies though nobody wrote", got)
	}
	if err := one.Store16(0, 1); err != nil {
		t.Fatal(err)
	}
	if got := smaps(t, one, r, "Anonymous"); got != PageSize {
		t.Errorf("%d bytes are copies after a write to one page", got)
	}
	if got := smaps(t, two, r, "Anonymous"); got != 0 {
		t.Errorf("%d bytes of the other memory are copies", got)
	}
}

func TestZeroUnmapsFile(t *testing.T) {
	f := fileOf(t, pattern(2*PageSize))
	m := mapped(t, Range{0, 2 * PageSize})
	if err := m.MapFile(0, f, 0, 2*PageSize); err != nil {
		t.Fatal(err)
	}
	if err := m.Zero(10, 2*PageSize-10); err != nil {
		t.Fatal(err)
	}
	b, err := m.Slice(0, 2*PageSize)
	if err != nil {
		t.Fatal(err)
	}
	if want := append(pattern(10), make([]byte, 2*PageSize-10)...); !bytes.Equal(b, want) {
		t.Errorf("byte %#x is the first to differ", firstDifference(b, want))
	}
}

func TestMapFileErrors(t *testing.T) {
	f := fileOf(t, pattern(PageSize+10))
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name string
		a    Addr
		f    *os.File
		off  int64
		n    uint64
		want string
	}{
		{"address in a page", 1, f, 0, 1, "not a multiple"},
		{"offset in a page", 0, f, 1, 1, "not a multiple"},
		{"negative offset", 0, f, -PageSize, 1, "the file has 4106 bytes"},
		{"longer than the file", 0, f, 0, PageSize + 11, "the file has 4106 bytes"},
		{"behind the file", 0, f, 2 * PageSize, 1, "the file has 4106 bytes"},
		{"absurdly long", 0, f, 0, 1<<64 - 1, "the file has 4106 bytes"},
		{"hole", 2 * PageSize, f, 0, 1, "are not RAM"},
		{"over the end of a range", PageSize, f, 0, PageSize + 1, "are not RAM"},
		{"device", 0, null, 0, 1, "not a regular file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			kinds(t, holed, func(t *testing.T, m *Memory) {
				err := m.MapFile(tt.a, tt.f, tt.off, tt.n)
				if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.f.Name()) {
					t.Errorf("error %q, want the file's name and %q", err, tt.want)
				}
				if bad := (*AccessError)(nil); tt.want == "are not RAM" && !errors.As(err, &bad) {
					t.Errorf("error %q is no AccessError", err)
				}
			})
		})
	}
}
