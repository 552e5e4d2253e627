package qcow2

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"microvm/vmm/disk/internal/vector"
)

func openWritable(t testing.TB, path string) *Image {
	t.Helper()
	i, err := Open(path, Options{Writable: true})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func closeImage(t testing.TB, i *Image) {
	t.Helper()
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
}

// qemuReads returns what QEMU finds in an image, or in a snapshot of it.
func qemuReads(t testing.TB, image string, options ...string) []byte {
	t.Helper()
	raw := filepath.Join(t.TempDir(), "raw")
	qemu(t, "qemu-img", append(append([]string{"convert", "-O", "raw"}, options...), image, raw)...)
	b, err := os.ReadFile(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t testing.TB, got, want []byte) {
	t.Helper()
	if at := differ(got, want); at >= 0 {
		t.Fatalf("other bytes from %#x on (%d and %d bytes)", at, len(got), len(want))
	}
}

// randomOp does one operation to i and to want, which are to stay the same. A
// discard is of whole clusters, and only of the parts that zeroes is true for.
func randomOp(r *rand.Rand, i *Image, want []byte, zeroes bool) error {
	off := r.IntN(len(want) + 1)
	n := r.IntN(min(len(want)-off, 4*int(i.clusterSize())+10_000) + 1)
	switch op := r.IntN(10); {
	case op < 5:
		b := contents(r.Uint64(), n)
		copy(want[off:], b)
		return i.WriteVector([][]byte{b[:n/3], b[n/3 : n/2], b[n/2:]}, int64(off))
	case op < 6:
		clear(want[off : off+n])
		return i.WriteZeroes(int64(off), int64(n))
	case op < 7 && zeroes:
		// Whole clusters are zero then, and the rest stays, if all is mapped.
		if err := i.Discard(int64(off), int64(n)); err != nil {
			return err
		}
		size := int(i.clusterSize())
		from, to := (off+size-1)/size*size, (off+n)/size*size
		if off+n == len(want) {
			to = len(want)
		}
		if from < to {
			clear(want[from:to])
		}
		return nil
	case op < 8:
		return i.Flush()
	}
	return readSome(r, i, want)
}

// TestWrite writes images of each kind at random, and has QEMU check and read
// them.
func TestWrite(t *testing.T) {
	for _, tc := range [][]string{
		{"-o", "compat=1.1"},
		{"-o", "compat=0.10"},
		{"-o", "cluster_size=512"}, // the refcount table grows, too
		{"-o", "cluster_size=512,refcount_bits=64"},
		{"-o", "cluster_size=512,compat=0.10"},
		{"-o", "cluster_size=4k"},
		{"-o", "cluster_size=2M"},
		{"-o", "refcount_bits=1"},
		{"-o", "refcount_bits=4,cluster_size=1k"},
		{"-o", "refcount_bits=8"},
		{"-o", "refcount_bits=32"},
		{"-o", "lazy_refcounts=on"},
		{"-o", "preallocation=metadata"},
		{"-o", "preallocation=full"},
		{"-c"},
		{"-c", "-o", "cluster_size=512"},
		{"-c", "-o", "compression_type=zstd,cluster_size=4k"},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			t.Parallel()
			want := contents(1, 3<<20+512*5)
			image := convert(t, want, tc...)
			for seed := range uint64(2) {
				r := rand.New(rand.NewPCG(seed, 5))
				i := openWritable(t, image)
				for range 60 {
					if err := randomOp(r, i, want, true); err != nil {
						t.Fatal(err)
					}
				}
				same(t, i, want)
				closeImage(t, i)
				qemu(t, "qemu-img", "check", image)
				equal(t, qemuReads(t, image)[:len(want)], want)
			}
			same(t, mustOpen(t, image), want)
		})
	}
}

// TestWriteOverBacking leaves the backing file as it is.
func TestWriteOverBacking(t *testing.T) {
	for _, options := range []string{"compat=1.1", "compat=0.10", "cluster_size=512", "cluster_size=2M"} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			base := contents(2, 2<<20+512)
			baseImage := convert(t, base, "-c")
			image := filepath.Join(t.TempDir(), "image.qcow2")
			qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", baseImage, "-F", "qcow2", image, "3M")
			want := append(bytes.Clone(base), make([]byte, 3<<20-len(base))...)
			r := rand.New(rand.NewPCG(9, 9))
			i := openWritable(t, image)
			for range 100 {
				if err := randomOp(r, i, want, false); err != nil {
					t.Fatal(err)
				}
			}
			same(t, i, want)
			closeImage(t, i)
			qemu(t, "qemu-img", "check", image)
			equal(t, qemuReads(t, image), want)
			equal(t, qemuReads(t, baseImage), base)
		})
	}
}

// TestWriteBesideSnapshot leaves a snapshot as it was, and QEMU can delete it.
func TestWriteBesideSnapshot(t *testing.T) {
	for _, options := range [][]string{{"-o", "cluster_size=4k"}, {"-o", "cluster_size=512,refcount_bits=4"}, {"-c", "-o", "cluster_size=4k"}} {
		before := contents(3, 2<<20)
		image := convert(t, before, options...)
		qemu(t, "qemu-img", "snapshot", "-c", "before", image)
		want := bytes.Clone(before)
		r := rand.New(rand.NewPCG(9, 9))
		i := openWritable(t, image)
		for range 200 {
			if err := randomOp(r, i, want, true); err != nil {
				t.Fatal(err)
			}
		}
		closeImage(t, i)
		qemu(t, "qemu-img", "check", image)
		equal(t, qemuReads(t, image), want)
		equal(t, qemuReads(t, image, "-l", "before"), before)
		qemu(t, "qemu-img", "snapshot", "-d", "before", image)
		qemu(t, "qemu-img", "check", image)
		same(t, mustOpen(t, image), want)
	}
}

// TestCopiedFlags writes an image whose L1 entries do not say that their tables
// have a refcount of one, as they need not: each is moved, and its cluster used
// again.
func TestCopiedFlags(t *testing.T) {
	want := contents(5, 2<<20)
	image := patch(t, convert(t, want, "-o", "cluster_size=512"), func(b []byte) []byte {
		h, err := readHeader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for n := range h.l1Entries {
			b[h.l1Table+8*n] &^= 0x80
		}
		return b
	})
	i := openWritable(t, image)
	r := rand.New(rand.NewPCG(9, 9))
	for range 300 {
		if err := randomOp(r, i, want, true); err != nil {
			t.Fatal(err)
		}
	}
	closeImage(t, i)
	same(t, mustOpen(t, image), want)
	equal(t, qemuReads(t, image), want)
}

// TestRefcountTableGrows fills an image whose table covers 8 MiB at first.
func TestRefcountTableGrows(t *testing.T) {
	image := filepath.Join(t.TempDir(), "image.qcow2")
	qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=512", image, "40M")
	i := openWritable(t, image)
	length := i.refcountLength
	want := contents(4, 40<<20)
	for off := 0; off < len(want); off += 1 << 20 {
		if _, err := i.WriteAt(want[off:off+1<<20], int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	if i.refcountLength <= length {
		t.Errorf("the refcount table has %d clusters, as before", length)
	}
	closeImage(t, i)
	qemu(t, "qemu-img", "check", image)
	equal(t, qemuReads(t, image), want)
}

// TestRefcountTableGrowsFar grows a table until more than one block counts it.
func TestRefcountTableGrowsFar(t *testing.T) {
	image := convert(t, contents(4, 1<<20), "-o", "cluster_size=512,refcount_bits=64")
	i := openWritable(t, image)
	for i.refcountLength < 2*i.refcounts.perBlock() {
		if err := i.refcounts.grow(); err != nil {
			t.Fatal(err)
		}
	}
	closeImage(t, i)
	qemu(t, "qemu-img", "check", image)
	same(t, mustOpen(t, image), contents(4, 1<<20))
}

// TestWriteConcurrent has writers of bytes that lie side by side in the same
// clusters, and readers and flushes beside them.
func TestWriteConcurrent(t *testing.T) {
	const writers, stride, size = 8, 700, 1 << 20
	image := convert(t, contents(5, size), "-o", "cluster_size=4k")
	want := contents(6, size)
	i := openWritable(t, image)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for off := w * stride; off < size; off += writers * stride {
				b := want[off:min(off+stride, size)]
				if _, err := i.WriteAt(b, int64(off)); err != nil {
					t.Error(err)
				}
				got := make([]byte, len(b))
				if _, err := i.ReadAt(got, int64(off)); err != nil || !bytes.Equal(got, b) {
					t.Errorf("read at %d after the write: %v", off, err)
				}
				if off%17 == 0 {
					if err := i.Flush(); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	closeImage(t, i)
	qemu(t, "qemu-img", "check", image)
	equal(t, qemuReads(t, image), want)
}

// TestDiscardFrees counts the file's blocks on the host, and that freed
// clusters are used again.
func TestDiscardFrees(t *testing.T) {
	image := convert(t, contents(7, 16<<20), "-S", "0")
	size := func() int64 {
		info, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		return info.Size()
	}
	before := size()
	i := openWritable(t, image)
	want := contents(8, 16<<20)
	for range 2 {
		if err := i.Discard(0, i.Size()); err != nil {
			t.Fatal(err)
		}
		if err := i.Flush(); err != nil {
			t.Fatal(err)
		}
		if n := hostBytes(t, image); n > 1<<20 {
			t.Errorf("%d bytes used on the host after a discard of all", n)
		}
		if _, err := i.WriteAt(want, 0); err != nil {
			t.Fatal(err)
		}
	}
	closeImage(t, i)
	if size() > before+1<<20 {
		t.Errorf("the file grew from %d to %d bytes", before, size())
	}
	qemu(t, "qemu-img", "check", image)
	equal(t, qemuReads(t, image), want)
}

// TestHeaderStays has an image whose tables say that the header is the disk's:
// what the guest writes must not come there, nor free it, for a header names
// files of the host.
func TestHeaderStays(t *testing.T) {
	const l2, cluster = 4 << 16, 64 << 10
	path := patch(t, convert(t, contents(1, 1<<20), "-S", "0"), put64(l2, flagCompressed))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	i := openWritable(t, path)
	_, err = i.WriteAt(make([]byte, cluster), 0)
	refused(t, err, "corrupt: L2 entry")
	refused(t, i.Discard(0, cluster), "corrupt: L2 entry")
	refused(t, i.WriteZeroes(0, cluster), "corrupt: L2 entry")

	// A count that was right at Open may be overwritten later.
	block, index, err := i.refcounts.block(0)
	if err != nil {
		t.Fatal(err)
	}
	setCount(block, index, i.refcountOrder, 0)
	if clusters, err := i.refcounts.alloc(1); err != nil || clusters.first == 0 {
		t.Errorf("cluster %d was allocated, %v", clusters.first, err)
	}
	closeImage(t, i)
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(after[:cluster], before[:cluster]) {
		t.Error("the header has changed")
	}
}

func TestWriteRefuses(t *testing.T) {
	const l1, l2, refcounts = 3 << 16, 4 << 16, 2 << 16
	image := convert(t, contents(1, 1<<20), "-S", "0")
	for _, tc := range []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"dirty", put64(offIncompatible, featureDirty), "marked as dirty"},
		{"corrupt", put64(offIncompatible, featureCorrupt), "marked as corrupt"},
		{"extended L2", put64(offIncompatible, featureExtendedL2), "extended L2 entries"},
		{"bitmaps", put64(offAutoclear, 1), "autoclear features 0x1"},
		{"no refcounts", put32(offRefcountLength, 0), "the header at 0x0 is free"},
		{"refcount table beyond the file", put64(offRefcountTable, 1<<40), "ends before the refcount table"},
		{"refcount block beyond the file", put64(1<<16, 1<<40), "ends before the refcount block"},
		{"refcount block unaligned", put64(1<<16, 1<<20|1), "entry 0 of the refcount table"},
		{"refcount block twice", put64(1<<16+8, refcounts), "the refcount block at 0x20000 is within the refcount block"},
		{"L1 is free", put64(refcounts, 1<<48|1<<32|1<<16), "the L1 table at 0x30000 is free"},
		{"L2 is the L1", put64(l1, l1|flagCopied), "at 0x30000 is within the L"},
		{"L2 unaligned", put64(l1, l2+1|flagCopied), "entry 0 of the L1 table"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := patch(t, image, tc.edit)
			_, err := Open(path, Options{Writable: true})
			refused(t, err, tc.want)
			refused(t, err, path)
		})
	}
	i := mustOpen(t, image)
	for _, err := range []error{i.WriteVector([][]byte{{1}}, 0), i.Discard(0, 1), i.WriteZeroes(0, 1)} {
		refused(t, err, "not opened for writing")
	}
	i = openWritable(t, image)
	defer closeImage(t, i)
	for _, s := range []struct{ off, n int64 }{{-1, 2}, {1 << 20, 1}, {1<<20 - 1, 2}, {1<<63 - 1, 10}} {
		for _, err := range []error{i.WriteVector([][]byte{make([]byte, s.n)}, s.off), i.Discard(s.off, s.n), i.WriteZeroes(s.off, s.n)} {
			refused(t, err, "are not of the disk of 1048576 bytes")
		}
	}
	refused(t, i.Discard(5, -1), "are not of the disk")
}

// TestWriteFails writes where the host cannot: the disk stays as it was, and
// what failed can be done again.
func TestWriteFails(t *testing.T) {
	want := contents(1, 1<<20)
	image := convert(t, want, "-o", "cluster_size=4k")
	i := openWritable(t, image)
	whole := i.file
	reading, err := os.Open(image)
	if err != nil {
		t.Fatal(err)
	}
	defer reading.Close()
	i.file = vector.File{File: reading}
	refused(t, i.WriteVector([][]byte{{1}}, 5), "bad file descriptor")
	i.file = whole
	same(t, i, want)
	for off := range len(want) / 8192 {
		want[off*8192]++
		if _, err := i.WriteAt(want[off*8192:][:1], int64(off)*8192); err != nil {
			t.Fatal(err)
		}
	}
	closeImage(t, i)
	qemu(t, "qemu-img", "check", image)
	equal(t, qemuReads(t, image), want)
}

// hostBytes is how much of the host's disk a file takes.
func hostBytes(t *testing.T, path string) int64 {
	t.Helper()
	out := qemu(t, "qemu-img", "info", "--output=json", path)
	_, rest, ok := strings.Cut(out, `"actual-size": `)
	var n int64
	if _, err := fmt.Sscan(strings.TrimRight(strings.SplitN(rest, "\n", 2)[0], ","), &n); err != nil || !ok {
		t.Fatalf("%v: %s", err, out)
	}
	return n
}
