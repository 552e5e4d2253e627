package overlay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/vmm/disk/internal/vector"
	"microvm/vmm/disk/qcow2"
)

var _ Base = (*qcow2.Image)(nil)

// memory is a base of so many bytes.
type memory []byte

func (m memory) Size() int64 { return int64(len(m)) }

func (m memory) ReadVector(bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if copy(b, m[off:]) < len(b) {
			return io.ErrUnexpectedEOF
		}
		off += int64(len(b))
	}
	return nil
}

func random(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func newOverlay(t testing.TB, base Base) *Overlay {
	t.Helper()
	o, err := New(base, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func check(t testing.TB, o *Overlay, want []byte) {
	t.Helper()
	got := make([]byte, len(want)+1)
	if n, err := o.ReadAt(got, 0); n != len(want) || err != io.EOF {
		t.Fatalf("read %d, %v; want %d and EOF", n, err, len(want))
	}
	for i, b := range want {
		if got[i] != b {
			t.Fatalf("other bytes from %#x on", i)
		}
	}
}

// pieces cuts b in up to four.
func pieces(r *rand.Rand, b []byte) (bufs [][]byte) {
	for range 3 {
		n := r.IntN(len(b) + 1)
		bufs = append(bufs, b[:n])
		b = b[n:]
	}
	return append(bufs, b)
}

// An op is what model does to the disk and to a plain slice.
const (
	opWrite = iota
	opZero
	opDiscard
	opRead
	ops
)

// model does one operation to o and to want, which are to stay the same.
func model(r *rand.Rand, o *Overlay, want []byte, op, off, n int) error {
	off = min(off, len(want))
	n = min(n, len(want)-off)
	at := int64(off)
	switch op {
	case opWrite:
		b := random(r, n)
		copy(want[off:], b)
		return o.WriteVector(pieces(r, b), at)
	case opZero:
		clear(want[off : off+n])
		return o.WriteZeroes(at, int64(n))
	case opDiscard:
		from, to := (off+blockSize-1)/blockSize*blockSize, (off+n)/blockSize*blockSize
		if off+n == len(want) {
			to = len(want)
		}
		if from < to {
			clear(want[from:to])
		}
		return o.Discard(at, int64(n))
	case opRead:
		b := make([]byte, n)
		if err := o.ReadVector(pieces(r, b), at); err != nil {
			return err
		}
		if !bytes.Equal(b, want[off:off+n]) {
			return fmt.Errorf("read of %d at %d: other bytes", n, off)
		}
	}
	return nil
}

// TestModel compares an overlay with a plain slice, and the base with what it
// was.
func TestModel(t *testing.T) {
	for _, size := range []int{0, 1, blockSize - 1, blockSize, 64*blockSize + 1, 200*blockSize + 512} {
		r := rand.New(rand.NewPCG(uint64(size), 0))
		base := random(r, size)
		want := bytes.Clone(base)
		o := newOverlay(t, memory(bytes.Clone(base)))
		for range 500 {
			op, off, n := r.IntN(ops), r.IntN(size+1), r.IntN(5*blockSize)
			if r.IntN(2) == 0 {
				off, n = off&^(blockSize-1), n&^(blockSize-1)
			}
			if err := model(r, o, want, op, off, n); err != nil {
				t.Fatal(err)
			}
		}
		check(t, o, want)
		if !bytes.Equal(o.base.(memory), base) {
			t.Error("the base was written")
		}
	}
}

// FuzzModel does the same with operations of the fuzzer's choice: three bytes
// each, of which the first two choose operation and place.
func FuzzModel(f *testing.F) {
	f.Add([]byte{opWrite, 1, 200, opDiscard, 0, 255, opRead, 0, 255}, uint16(3*blockSize+7))
	f.Add([]byte{opZero, 250, 100, opWrite, 16, 16, opZero, 0, 255, opRead, 9, 9}, uint16(2*blockSize))
	f.Fuzz(func(t *testing.T, script []byte, size uint16) {
		r := rand.New(rand.NewPCG(1, 1))
		want := random(r, int(size))
		o := newOverlay(t, memory(bytes.Clone(want)))
		for s := script; len(s) >= 3; s = s[3:] {
			off, n := int(s[1])<<6|int(s[0])>>2, int(s[2])<<5
			if err := model(r, o, want, int(s[0])%ops, off, n); err != nil {
				t.Fatal(err)
			}
		}
		check(t, o, want)
	})
}

// TestConcurrent has writers of bytes that lie side by side in the same blocks.
// None may lose what another wrote.
func TestConcurrent(t *testing.T) {
	const writers, stride, size = 8, 700, 64 * blockSize
	r := rand.New(rand.NewPCG(1, 2))
	base, next := random(r, size), random(r, size)
	o := newOverlay(t, memory(base))
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for off := w * stride; off < size; off += writers * stride {
				end := min(off+stride, size)
				if err := o.WriteVector([][]byte{next[off : off+10], next[off+10 : end]}, int64(off)); err != nil {
					t.Error(err)
				}
				got := make([]byte, end-off)
				if _, err := o.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, next[off:end]) {
					t.Errorf("read at %d after the write: %v", off, err)
				}
			}
		})
	}
	wg.Wait()
	check(t, o, next)
}

// TestSparse counts the file's blocks on the host: they are what was written,
// and given back.
func TestSparse(t *testing.T) {
	o := newOverlay(t, memory(make([]byte, 16<<20)))
	used := func() int64 {
		var st unix.Stat_t
		if err := unix.Fstat(int(o.file.Fd()), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	if n := used(); n != 0 {
		t.Errorf("%d bytes used at first", n)
	}
	if _, err := o.WriteAt(bytes.Repeat([]byte{1}, 1<<20), 3<<20); err != nil {
		t.Fatal(err)
	}
	if n := used(); n < 1<<20 || n > 2<<20 {
		t.Errorf("%d bytes used for 1 MiB", n)
	}
	if err := o.Discard(0, 16<<20); err != nil {
		t.Fatal(err)
	}
	if n := used(); n > 64<<10 {
		t.Errorf("%d bytes used after a discard of all", n)
	}
}

// TestUnnamed looks for the file in its directory.
func TestUnnamed(t *testing.T) {
	dir := t.TempDir()
	o, err := New(memory(make([]byte, 100)), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
}

// failing is a base that cannot be read.
type failing struct{ memory }

var errBase = errors.New("base is broken")

func (failing) ReadVector([][]byte, int64) error { return errBase }

func TestBaseFails(t *testing.T) {
	o := newOverlay(t, failing{make(memory, 4*blockSize)})
	if _, err := o.ReadAt(make([]byte, 1), 0); !errors.Is(err, errBase) {
		t.Errorf("read: %v", err)
	}
	for _, s := range []span{{1, 2}, {blockSize, 2*blockSize + 1}} {
		if _, err := o.WriteAt(make([]byte, s.len()), s.off); !errors.Is(err, errBase) {
			t.Errorf("write of a part: %v", err)
		}
		if err := o.WriteZeroes(s.off, s.len()); !errors.Is(err, errBase) {
			t.Errorf("zeroes to a part: %v", err)
		}
	}
	if _, err := o.WriteAt(make([]byte, blockSize), 3*blockSize); err != nil {
		t.Errorf("write of a whole block, which needs no base: %v", err)
	}
}

// TestFileFails writes where the file cannot be: the disk stays as it was.
func TestFileFails(t *testing.T) {
	want := bytes.Repeat([]byte{7}, 4*blockSize)
	o := newOverlay(t, memory(want))
	whole := o.file
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	o.file = vector.File{File: null} // opened for reading
	for _, s := range []span{{0, blockSize}, {1, 2}} {
		if _, err := o.WriteAt(make([]byte, s.len()), s.off); !errors.Is(err, unix.EBADF) {
			t.Errorf("write: %v", err)
		}
	}
	if err := o.Discard(0, blockSize); !errors.Is(err, unix.EBADF) {
		t.Errorf("discard: %v", err)
	}
	o.file = whole
	check(t, o, want)
}

func TestRefuses(t *testing.T) {
	o := newOverlay(t, make(memory, 1000))
	for _, s := range []struct{ off, n int64 }{{-1, 1}, {0, 1001}, {1000, 1}, {1 << 62, 1}} {
		if o.WriteVector([][]byte{make([]byte, s.n)}, s.off) == nil || o.ReadVector([][]byte{make([]byte, s.n)}, s.off) == nil {
			t.Errorf("no error for %v", s)
		}
	}
	for _, s := range []struct{ off, n int64 }{{0, -1}, {1, 1 << 62}, {1 << 62, 1 << 62}} {
		if o.Discard(s.off, s.n) == nil || o.WriteZeroes(s.off, s.n) == nil {
			t.Errorf("no error for %v", s)
		}
	}
	if _, err := o.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt -1: no error")
	}
	if _, err := New(huge{}, ""); err == nil {
		t.Error("a disk of 1 EiB: no error")
	}
	if _, err := New(memory(nil), "/nonexistent"); !errors.Is(err, os.ErrNotExist) || strings.Count(err.Error(), "/nonexistent") != 1 {
		t.Errorf("no directory, to be named once: %v", err)
	}
}

type huge struct{ memory }

func (huge) Size() int64 { return 1 << 60 }
