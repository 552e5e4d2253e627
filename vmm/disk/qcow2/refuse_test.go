package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// patch returns image's bytes with an edit, in a file of its own.
func patch(t *testing.T, image string, edit func(b []byte) []byte) string {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, filepath.Join(t.TempDir(), "patched.qcow2"), edit(b))
}

func put32(off int, v uint32) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint32(b[off:], v); return b }
}

func put64(off int, v uint64) func([]byte) []byte {
	return func(b []byte) []byte { binary.BigEndian.PutUint64(b[off:], v); return b }
}

func refused(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("error %q, want one with %q", fmt.Sprint(err), want)
	}
}

func TestOpenRefuses(t *testing.T) {
	image := convert(t, contents(1, 1<<20))
	for _, tc := range []struct {
		name string
		edit func([]byte) []byte
		want string
	}{
		{"empty", func(b []byte) []byte { return nil }, "does not begin with"},
		{"magic", put32(offMagic, 0), "does not begin with"},
		{"short header", func(b []byte) []byte { return b[:60] }, "truncated: 60 bytes"},
		{"short version 3 header", func(b []byte) []byte { return b[:80] }, "truncated: 80 bytes"},
		{"no tables", func(b []byte) []byte { return b[:0x20000] }, "truncated: the file has 131072 bytes"},
		{"version 1", put32(offVersion, 1), "version 1"},
		{"version 4", put32(offVersion, 4), "version 4"},
		{"tiny clusters", put32(offClusterBits, 8), "clusters of 2^8"},
		{"huge clusters", put32(offClusterBits, 22), "clusters of 2^22"},
		{"header length", put32(offHeaderLength, 96), "a header of 96 bytes"},
		{"header length unaligned", put32(offHeaderLength, 109), "a header of 109 bytes"},
		{"header length over all", put32(offHeaderLength, 1<<31), "a header of 2147483648 bytes"},
		{"AES", put32(offCryptMethod, 1), "encrypted"},
		{"LUKS", put32(offCryptMethod, 2), "encrypted"},
		{"external data", put64(offIncompatible, featureExternalData), "external data file"},
		{"unknown feature", put64(offIncompatible, 1<<40), "not supported: bit 40"},
		{"compression type", func(b []byte) []byte { b[offCompressionType] = 1; return b }, "compression type 1"},
		{"compression feature", put64(offIncompatible, featureCompression), "compression type 0"},
		{"refcount bits", put32(offRefcountOrder, 7), "2^7 bits"},
		{"disk size", put64(offSize, 1<<63), "too large"},
		{"L1 limit", put64(offSize, 1<<62), "needs an L1 table of"},
		{"L1 too short", put32(offL1Size, 0), "an L1 table of 0 entries"},
		{"L1 beyond the file", put64(offL1Table, 1<<40), "truncated"},
		{"L1 unaligned", put64(offL1Table, 0x30001), "L1 table at 0x30001"},
		{"L1 in the header", put64(offL1Table, 0), "L1 table at 0x0"},
		{"L1 beyond 2^56", put64(offL1Table, 1<<60), "L1 table at"},
		{"refcount table unaligned", put64(offRefcountTable, 0x10001), "refcount table at 0x10001"},
		{"refcount table length", put32(offRefcountLength, 1<<20), "a refcount table of 1048576 clusters"},
		{"backing name outside", func(b []byte) []byte { return put32(offBackingSize, 5)(put64(offBackingName, 1<<16)(b)) }, "backing file's name"},
		{"backing name long", func(b []byte) []byte { return put32(offBackingSize, 1024)(put64(offBackingName, 512)(b)) }, "backing file's name"},
		{"extension", func(b []byte) []byte { return put32(112, 0x12345678)(put32(116, 1<<31)(b)) }, "header extension (type 0x12345678) of 2147483648"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := patch(t, image, tc.edit)
			_, err := Open(path, Options{})
			refused(t, err, tc.want)
			refused(t, err, path)
		})
	}
}

// TestUnknownFeatureName names a feature that QEMU would know by the image's own
// table.
func TestUnknownFeatureName(t *testing.T) {
	path := patch(t, convert(t, contents(1, 1<<20)), func(b []byte) []byte {
		// QEMU writes the table first, and its first entry is the dirty bit.
		if b[112+8+1] != 0 || string(b[112+10:112+19]) != "dirty bit" {
			t.Fatalf("no feature name table: %q", b[112:200])
		}
		b[112+9] = 33
		return put64(offIncompatible, 1<<33)(b)
	})
	_, err := Open(path, Options{})
	refused(t, err, `"dirty bit`)
	refused(t, err, "(bit 33)")
}

func TestReadsDirtyAndCorrupt(t *testing.T) {
	disk := contents(1, 1<<20)
	same(t, mustOpen(t, patch(t, convert(t, disk), put64(offIncompatible, featureDirty|featureCorrupt))), disk)
}

// TestReadRefuses meets in a read what is wrong with tables and data.
func TestReadRefuses(t *testing.T) {
	const cluster = 64 << 10
	// Where qemu-img puts things in an image of a few clusters.
	const l1, l2, first = 3 * cluster, 4 * cluster, 5 * cluster
	plain := convert(t, contents(1, 1<<20), "-S", "0", "-o", "compat=1.1")
	version2 := convert(t, contents(1, 1<<20), "-S", "0", "-o", "compat=0.10")
	extended := convert(t, contents(1, 1<<20), "-S", "0", "-o", "extended_l2=on")
	squeezed := convert(t, make([]byte, 1<<20), "-S", "0", "-c")
	zstd := convert(t, make([]byte, 1<<20), "-S", "0", "-c", "-o", "compression_type=zstd")
	garble := func(b []byte) []byte {
		for i := range b[first:] {
			b[first+i] = 0xff
		}
		return b
	}
	for _, tc := range []struct {
		name, image string
		edit        func([]byte) []byte
		want        string
	}{
		{"L1 reserved bits", plain, put64(l1, l2|1<<60), "L2 table at"},
		{"L2 unaligned", plain, put64(l1, l2|512), "L2 table at"},
		{"L2 beyond the file", plain, put64(l1, 1<<50), "file ends before the L2 table"},
		{"L2 at the header", plain, put64(l1, 0), ""}, // unallocated
		{"entry reserved bits", plain, put64(l2, first|1<<58), "L2 entry"},
		{"entry low bits", plain, put64(l2, first|2), "L2 entry"},
		{"entry unaligned", plain, put64(l2, first|512), "L2 entry"},
		{"zero flag in version 2", version2, put64(l2, first|flagZero), "L2 entry"},
		{"zero flag with subclusters", extended, put64(l2, first|flagZero), "L2 entry"},
		{"subcluster both", extended, put64(l2+8, 1<<32|1), "subcluster bitmap"},
		{"subcluster nowhere", extended, put64(l2, 0), "subcluster bitmap"},
		{"data beyond the file", plain, put64(l2, 1<<50), "data at 0x4000000000000"},
		{"truncated data", plain, func(b []byte) []byte { return b[:first+3*cluster] }, "truncated"},
		{"deflate", squeezed, garble, "corrupt: compressed cluster"},
		{"zstd", zstd, garble, "corrupt: compressed cluster"},
		{"compressed in the header", squeezed, put64(l2, flagCompressed|3<<9), "corrupt: L2 entry"},
		{"compressed beyond the file", squeezed, put64(l2, flagCompressed|1<<40), "corrupt: compressed cluster"},
		{"compressed far beyond", squeezed, put64(l2, flagCompressed|(1<<62-1)), "corrupt: compressed cluster"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			i := mustOpen(t, patch(t, tc.image, tc.edit))
			_, err := i.ReadAt(make([]byte, i.Size()), 0)
			if tc.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			refused(t, err, tc.want)
			refused(t, err, "patched.qcow2")
		})
	}
}

func TestReadOutside(t *testing.T) {
	i := mustOpen(t, convert(t, contents(1, 1<<20)))
	for _, tc := range []struct{ off, n int64 }{{-1, 2}, {1 << 20, 1}, {1<<20 - 1, 2}, {1<<63 - 1, 10}} {
		refused(t, i.ReadVector([][]byte{make([]byte, tc.n)}, tc.off), "are not of the disk of 1048576 bytes")
	}
	if _, err := i.ReadAt(make([]byte, 1), -1); err == nil {
		t.Error("ReadAt -1: no error")
	}
	if err := i.ReadVector(nil, 1<<20); err != nil {
		t.Errorf("nothing at the end: %v", err)
	}
}

func TestNotAFile(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(dir, Options{})
	refused(t, err, "neither a file nor a block device: d")
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = Open(fifo, Options{})
	refused(t, err, "neither a file nor a block device: p")
	if _, err = Open(filepath.Join(dir, "none"), Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	unreadable := Options{OpenFile: func(path string, _ bool) (*os.File, error) {
		return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrPermission}
	}}
	if _, err = Open(writeFile(t, filepath.Join(dir, "file"), nil), unreadable); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("an unreadable file: %v", err)
	}
}

// backed makes a qcow2 image of 1 MiB with that backing file, and returns
// its path.
func backed(t *testing.T, dir, name, backing, format string) string {
	t.Helper()
	image := filepath.Join(dir, name)
	args := []string{"create", "-q", "-u", "-f", "qcow2", "-b", backing}
	if format != "" {
		args = append(args, "-F", format)
	}
	qemu(t, "qemu-img", append(args, image, "1M")...)
	return image
}

// withoutFormat drops the backing format, as old versions of qemu-img left it
// out: the extension becomes one of a type that is ignored.
func withoutFormat(t *testing.T, image string) {
	t.Helper()
	b, err := os.ReadFile(image)
	if err != nil {
		t.Fatal(err)
	}
	if binary.BigEndian.Uint32(b[112:]) != extensionBackingFormat {
		t.Fatalf("no backing format: %q", b[112:140])
	}
	writeFile(t, image, put32(112, 0x7fffffff)(b))
}

func TestBackingFormat(t *testing.T) {
	dir := t.TempDir()
	disk := contents(1, 1<<20)
	raw := writeFile(t, filepath.Join(dir, "raw"), disk)
	inner := convert(t, disk)

	image := backed(t, dir, "raw.qcow2", raw, "raw")
	withoutFormat(t, image)
	same(t, mustOpen(t, image), disk)

	image = backed(t, dir, "unsafe.qcow2", inner, "qcow2")
	withoutFormat(t, image)
	_, err := Open(image, Options{})
	refused(t, err, "a guess is not safe")

	// A raw file that looks like qcow2 stays raw if the image says so.
	b, err := os.ReadFile(inner)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 4)
	if _, err := mustOpen(t, backed(t, dir, "stated.qcow2", inner, "raw")).ReadAt(got, 0); err != nil || string(got) != string(b[:4]) {
		t.Errorf("read %q, %v", got, err)
	}

	_, err = Open(backed(t, dir, "vmdk.qcow2", raw, "vmdk"), Options{})
	refused(t, err, `its format is given as "vmdk"; supported are raw and qcow2`)
}

func TestBackingRefuses(t *testing.T) {
	dir := t.TempDir()
	backed(t, dir, "self.qcow2", "self.qcow2", "qcow2")
	backed(t, dir, "a.qcow2", "b.qcow2", "qcow2")
	backed(t, dir, "b.qcow2", filepath.Join(dir, "a.qcow2"), "qcow2")
	backed(t, dir, "alone.qcow2", "none.raw", "raw")
	backed(t, dir, "dir.qcow2", ".", "raw")
	backed(t, dir, "nbd.qcow2", "nbd://localhost/x", "raw")
	backed(t, dir, "json.qcow2", `json:{"driver":"null-co"}`, "raw")
	backed(t, dir, "wrong.qcow2", writeFile(t, filepath.Join(dir, "no.qcow2"), []byte("text, not an image")), "qcow2")
	for name, want := range map[string]string{
		"self.qcow2":  "a loop",
		"a.qcow2":     "a loop",
		"alone.qcow2": "none.raw: no such file",
		"dir.qcow2":   "neither a file nor a block device",
		"nbd.qcow2":   "only paths are supported",
		"json.qcow2":  "only paths are supported",
		"wrong.qcow2": "no.qcow2: not a qcow2 image",
	} {
		_, err := Open(filepath.Join(dir, name), Options{})
		refused(t, err, want)
		refused(t, err, name+": backing file: ")
	}
}

func TestChainLimits(t *testing.T) {
	dir := t.TempDir()
	name := func(n int) string { return fmt.Sprintf("%d.qcow2", n) }
	backed(t, dir, name(0), writeFile(t, filepath.Join(dir, "raw"), make([]byte, 1<<20)), "raw")
	for n := 1; n < maxChain; n++ {
		backed(t, dir, name(n), name(n-1), "qcow2")
	}
	mustOpen(t, filepath.Join(dir, name(maxChain-2)))
	_, err := Open(filepath.Join(dir, name(maxChain-1)), Options{})
	refused(t, err, "more than 64 images")

	// Three tables of the largest size are more than a chain may have.
	for n := range 3 {
		image := backed(t, dir, fmt.Sprintf("huge%d.qcow2", n), fmt.Sprintf("huge%d.qcow2", n-1), "qcow2")
		b, err := os.ReadFile(image)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			put64(offBackingName, 0)(b)
		}
		const entries, table = maxL1 / 8, 1 << 20
		put64(offSize, entries<<29)(put32(offL1Size, entries)(put64(offL1Table, table)(b)))
		writeFile(t, image, b)
		if err := os.Truncate(image, table+maxL1); err != nil {
			t.Fatal(err)
		}
	}
	mustOpen(t, filepath.Join(dir, "huge1.qcow2"))
	_, err = Open(filepath.Join(dir, "huge2.qcow2"), Options{})
	refused(t, err, "a chain of images may have 67108864 in all")
}
