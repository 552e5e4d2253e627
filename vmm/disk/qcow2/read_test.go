package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// same fails the test if the disk is not want: read whole, by ReadAt, and in
// vectors of random sizes from four goroutines at once.
func same(t *testing.T, i *Image, want []byte) {
	t.Helper()
	if i.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", i.Size(), len(want))
	}
	got := make([]byte, len(want)+1)
	if n, err := i.ReadAt(got, 0); n != len(want) || err != io.EOF {
		t.Fatalf("read whole: %d, %v; want %d and EOF", n, err, len(want))
	}
	if at := differ(got[:len(want)], want); at >= 0 {
		t.Fatalf("read whole: other bytes from %#x on", at)
	}
	var wg sync.WaitGroup
	for seed := range uint64(4) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(seed, 1))
			for range 50 {
				if err := readSome(r, i, want); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func readSome(r *rand.Rand, i *Image, want []byte) error {
	off := r.IntN(len(want))
	n := r.IntN(min(len(want)-off, 300_000) + 1)
	flat := make([]byte, n)
	var bufs [][]byte
	for rest := flat; len(rest) > 0; {
		k := min(len(rest), r.IntN(70_000))
		bufs = append(bufs, rest[:k])
		rest = rest[k:]
	}
	if err := i.ReadVector(bufs, int64(off)); err != nil {
		return err
	}
	if at := differ(flat, want[off:off+n]); at >= 0 {
		return fmt.Errorf("read of %d at %#x: other bytes from %#x on", n, off, off+at)
	}
	return nil
}

// differ returns where a and b differ first, or -1.
func differ(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	return min(len(a), len(b))
}

// TestRead reads an image of each format that qemu-img makes.
func TestRead(t *testing.T) {
	for _, tc := range [][]string{
		{"-o", "compat=0.10"},
		{"-o", "compat=0.10", "-c"},
		{"-o", "compat=0.10,cluster_size=512"},
		{"-o", "compat=1.1"},
		{"-o", "compat=1.1", "-S", "0"},
		{"-c"},
		{"-c", "-o", "compression_type=zstd"},
		{"-c", "-o", "cluster_size=512"},
		{"-c", "-o", "cluster_size=512,compression_type=zstd"},
		{"-c", "-o", "cluster_size=2M"},
		{"-c", "-o", "cluster_size=2M,compression_type=zstd"},
		{"-o", "cluster_size=512"},
		{"-o", "cluster_size=1k"},
		{"-o", "cluster_size=4k"},
		{"-o", "cluster_size=256k"},
		{"-o", "cluster_size=2M"},
		{"-o", "lazy_refcounts=on"},
		{"-o", "refcount_bits=1"},
		{"-o", "refcount_bits=64"},
		{"-o", "preallocation=metadata"},
		{"-o", "preallocation=metadata,compat=0.10"},
		{"-o", "preallocation=falloc"},
		{"-o", "preallocation=full"},
		{"-o", "extended_l2=on"},
		{"-o", "extended_l2=on,cluster_size=16k"},
		{"-o", "extended_l2=on,cluster_size=2M", "-S", "4k"},
		{"-c", "-o", "extended_l2=on"},
	} {
		t.Run(fmt.Sprint(tc), func(t *testing.T) {
			t.Parallel()
			disk := contents(1, 3<<20+512*5)
			same(t, mustOpen(t, convert(t, disk, tc...)), disk)
		})
	}
}

// TestReadParts reads images that were written in parts, with zeroed, discarded
// and subclusters' ranges, over a raw backing file that is shorter.
func TestReadParts(t *testing.T) {
	for _, options := range []string{
		"cluster_size=64k", "cluster_size=512", "cluster_size=2M", "compat=0.10", "extended_l2=on",
		"extended_l2=on,cluster_size=16k", "preallocation=metadata,extended_l2=on",
	} {
		t.Run(options, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			base := contents(2, 2<<20+512)
			writeFile(t, filepath.Join(dir, "base.raw"), base)
			image := filepath.Join(dir, "image.qcow2")
			qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", options, "-b", "base.raw", "-F", "raw", image, "5M")
			qemuIO(t, image, "write -P 1 70k 3k", "write -z 512k 128k", "write -z -u 700k 100k", "write -P 2 720k 1k",
				"discard 1M 256k", "write -P 3 1500k 700k", "write -P 4 4M 5k", "write -z 4098k 1k")
			raw := filepath.Join(dir, "want.raw")
			qemu(t, "qemu-img", "convert", "-O", "raw", image, raw)
			want, err := os.ReadFile(raw)
			if err != nil {
				t.Fatal(err)
			}
			same(t, mustOpen(t, image), want)
		})
	}
}

// TestBackingChain reads through several images in other directories, which
// have other sizes and clusters.
func TestBackingChain(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "below"), 0o700); err != nil {
		t.Fatal(err)
	}
	want := contents(3, 3<<20)
	bottom := convert(t, want, "-c")
	if err := os.Rename(bottom, filepath.Join(dir, "below", "bottom.qcow2")); err != nil {
		t.Fatal(err)
	}
	middle := filepath.Join(dir, "below", "middle.qcow2")
	qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-o", "cluster_size=4k", "-b", "bottom.qcow2", "-F", "qcow2", middle, "2M")
	qemuIO(t, middle, "write -P 7 1M 10k", "write -z 100k 300k")
	top := filepath.Join(dir, "top.qcow2")
	qemu(t, "qemu-img", "create", "-q", "-f", "qcow2", "-b", "below/middle.qcow2", "-F", "qcow2", top, "4M")
	qemuIO(t, top, "write -P 8 1028k 1k")

	fill := func(b []byte, c byte) { copy(b, bytes.Repeat([]byte{c}, len(b))) }
	want = append(want[:2<<20], make([]byte, 2<<20)...) // middle is shorter than bottom
	fill(want[1<<20:1<<20+10<<10], 7)
	clear(want[100<<10 : 400<<10])
	fill(want[1028<<10:1029<<10], 8)
	same(t, mustOpen(t, top), want)
}

// TestSnapshots reads the active state of an image with internal snapshots.
func TestSnapshots(t *testing.T) {
	disk := contents(4, 1<<20)
	image := convert(t, disk)
	qemu(t, "qemu-img", "snapshot", "-c", "before", image)
	qemuIO(t, image, "write -P 9 100k 64k")
	copy(disk[100<<10:], bytes.Repeat([]byte{9}, 64<<10))
	same(t, mustOpen(t, image), disk)
}

// TestOneSystemCall counts what the extents of a read are: a fully allocated
// image in clusters of 64 KiB is one piece, across the clusters' borders.
func TestOneSystemCall(t *testing.T) {
	disk := contents(5, 8<<20)
	i := mustOpen(t, convert(t, disk, "-S", "0"))
	e, err := i.extent(1000, int64(len(disk))-1000)
	if err != nil {
		t.Fatal(err)
	}
	if e.kind != data || e.n != int64(len(disk))-1000 {
		t.Errorf("an extent of %d bytes, kind %d; want one of all %d", e.n, e.kind, len(disk)-1000)
	}
}

// TestCacheBounded reads more than the cache holds.
func TestCacheBounded(t *testing.T) {
	disk := contents(6, 1<<20)
	i := mustOpen(t, convert(t, disk, "-c", "-o", "cluster_size=4k"))
	i.cache.max = 5 << 12
	same(t, i, disk)
	if n := i.cache.order.Len(); n > 5 || n != len(i.cache.items) || i.cache.bytes != int64(n)<<12 {
		t.Errorf("%d clusters kept (%d by key, %d bytes), want at most 5", n, len(i.cache.items), i.cache.bytes)
	}
}

func TestProbe(t *testing.T) {
	for in, want := range map[string]bool{"": false, "QFI": false, "QFI\xfa": false, Magic: true, Magic + "rest": true} {
		if got := Probe(bytes.NewReader([]byte(in))); got != want {
			t.Errorf("Probe of %q: %t", in, got)
		}
	}
}
