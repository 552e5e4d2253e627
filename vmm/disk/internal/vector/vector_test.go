package vector

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPunchSize(t *testing.T) {
	created, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	f := File{created}
	defer f.Close()
	got := bytes.Repeat([]byte{1}, 100)
	if err := f.WriteVector([][]byte{got}, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Punch(10, 1000); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Size(); n != 100 || err != nil {
		t.Errorf("size %d, %v", n, err)
	}
	if _, err := f.ReadVector([][]byte{got}, 0); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Repeat([]byte{1}, 10), make([]byte, 90)...); !bytes.Equal(got, want) {
		t.Errorf("%v", got)
	}
}

// split cuts b into pieces of n bytes, with an empty one first.
func split(b []byte, n int) [][]byte {
	bufs := [][]byte{{}}
	for len(b) > 0 {
		k := min(n, len(b))
		bufs = append(bufs, b[:k])
		b = b[k:]
	}
	return bufs
}

func TestReadWrite(t *testing.T) {
	created, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	f := File{created}
	defer f.Close()
	want := make([]byte, 3*maxBuffers+5) // of one byte each: more than one call takes
	for i := range want {
		want[i] = byte(i % 251)
	}
	if err := f.WriteVector(split(want, 1), 7); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{1, 10, len(want)} {
		got := make([]byte, len(want))
		if n, err := f.ReadVector(split(got, size), 7); n != int64(len(want)) || err != nil {
			t.Fatalf("in pieces of %d: read %d, %v", size, n, err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("in pieces of %d: other bytes", size)
		}
	}
	got := make([]byte, 20)
	n, err := f.ReadVector(split(got, 3), 7+int64(len(want))-8)
	if n != 8 || err != io.EOF || !bytes.Equal(got[:8], want[len(want)-8:]) {
		t.Errorf("at the end: %d, %v, %v", n, err, got)
	}
}

func TestErrors(t *testing.T) {
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := File{dir}
	defer f.Close()
	if _, err := f.ReadVector(split(make([]byte, 9), 3), 0); !errors.Is(err, unix.EISDIR) {
		t.Errorf("read of a directory: %v", err)
	}
	if err := f.WriteVector(split(make([]byte, 9), 3), 0); !errors.Is(err, unix.EBADF) {
		t.Errorf("write of a file opened for reading: %v", err)
	}
}

func TestSlice(t *testing.T) {
	whole := []byte("0123456789")
	for size := 1; size <= len(whole); size++ {
		for off := range whole {
			for n := 0; off+n <= len(whole); n++ {
				got := Slice(split(whole, size), int64(off), int64(n))
				if flat := bytes.Join(got, nil); !bytes.Equal(flat, whole[off:off+n]) {
					t.Fatalf("pieces of %d: Slice(%d, %d) = %q", size, off, n, flat)
				}
			}
		}
	}
}
