package boot

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// packedText is what testdata/packed holds, compressed by the tools and with the
// options of a kernel's build (scripts/Makefile.lib): 300,000 bytes, so that
// lzop needs two blocks, and calls at the start, for xz's x86 filter.
//
//	gzip -n -9; bzip2 -9; lzma -9; lzop -9; lz4 -l -9; zstd -22 --ultra;
//	xz --check=crc32 --x86 --lzma2=dict=1MiB
func packedText() []byte {
	var b []byte
	for i := 0; i < 300000; i += 16 {
		if i < 16384 {
			b = append(b, 0xe8)
			b = binary.LittleEndian.AppendUint32(b, uint32(0x12345-i))
		} else {
			b = append(b, "text "...)
		}
		b = fmt.Appendf(b, "row %06d\n", i>>14)
		b = append(b, bytes.Repeat([]byte{'\n'}, -len(b)&15)...)
	}
	return b
}

func packed(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "packed", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// appended is a payload: packed, and the size of what it is of.
func (c *compression) appended(packed []byte, size int) []byte {
	if c.ownSize {
		return packed
	}
	return binary.LittleEndian.AppendUint32(bytes.Clone(packed), uint32(size))
}

func TestDecompress(t *testing.T) {
	want := packedText()
	for i := range compressions {
		c := &compressions[i]
		t.Run(c.name, func(t *testing.T) {
			src := packed(t, c.name)
			if got := compressionOf(src); got != c {
				t.Fatalf("taken for %v", got)
			}
			size, rest, err := c.split(c.appended(src, len(want)))
			if err != nil || size != uint64(len(want)) || !bytes.Equal(rest, src) {
				t.Fatalf("split: %d, %d bytes, %v", size, len(rest), err)
			}
			got := make([]byte, len(want))
			if err := c.decompress(got, src); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got, want) {
				t.Error("the bytes differ")
			}
			for _, lie := range []int{-1, +1, -len(want) + 1, len(want)} {
				if err := c.decompress(make([]byte, len(want)+lie), src); err == nil {
					t.Errorf("to %d bytes of %d: no error", len(want)+lie, len(want))
				}
			}
			for _, cut := range []int{1, 5, len(src) / 2, len(src) - len(c.magic)} {
				if err := c.decompress(make([]byte, len(want)), src[:len(src)-cut]); err == nil {
					t.Errorf("without its last %d bytes: no error", cut)
				}
			}
		})
	}
}

// A flipped bit is found by the formats that have a checksum.
func TestDecompressFlipped(t *testing.T) {
	want := packedText()
	for _, name := range []string{"gzip", "bzip2", "xz", "lzo", "zstd"} {
		src := packed(t, name)
		c := compressionOf(src)
		for i := len(c.magic) + 20; i < len(src)-20; i += 1 + len(src)/20 {
			src[i] ^= 4
			got := make([]byte, len(want))
			if err := c.decompress(got, src); err == nil && !bytes.Equal(got, want) {
				t.Errorf("%s: byte %d of %d changed: no error", name, i, len(src))
			}
			src[i] ^= 4
		}
	}
}

// LZ4's blocks are of 8 MiB.
func TestUnLZ4Blocks(t *testing.T) {
	want := bytes.Repeat([]byte("0123456789abcdef\n"), (lz4Block+lz4Block/2)/17)
	src := []byte("\x02\x21\x4c\x18")
	for rest := want; len(rest) > 0; {
		n := min(len(rest), lz4Block)
		block := make([]byte, lz4.CompressBlockBound(n))
		size, err := lz4.CompressBlock(rest[:n], block, nil)
		if err != nil {
			t.Fatal(err)
		}
		src = binary.LittleEndian.AppendUint32(src, uint32(size))
		src = append(src, block[:size]...)
		rest = rest[n:]
	}
	got := make([]byte, len(want))
	if err := unlz4(got, src); err != nil || !bytes.Equal(got, want) {
		t.Errorf("two blocks: %v", err)
	}
	if err := unlz4(got, append(src, 1)); !errors.Is(err, errTooLong) {
		t.Errorf("with a byte more: %v", err)
	}
}

// A header may not make us take more memory than a kernel's build would.
func TestLZMADictionary(t *testing.T) {
	src := packed(t, "lzma")
	binary.LittleEndian.PutUint32(src[lzmaDictOffset:], maxWindow+1)
	if err := unlzma(make([]byte, 300000), src); err == nil || !strings.Contains(err.Error(), "dictionary") {
		t.Errorf("error %v", err)
	}
	if len(src) < lzma.HeaderLen || unlzma(make([]byte, 1), src[:lzma.HeaderLen-1]) == nil {
		t.Error("cut in the header: no error")
	}
}

// stored is an lzop file of one block that is stored as it is.
func stored(block []byte, flags uint32) []byte {
	be := binary.BigEndian
	var h []byte
	h = be.AppendUint16(h, 0x1040)
	h = be.AppendUint16(h, 0x20a0)
	h = be.AppendUint16(h, 0x0940)
	h = append(h, 1, 9)
	h = be.AppendUint32(h, flags)
	h = append(h, make([]byte, 12)...) // mode, time
	h = append(h, 3)
	h = append(h, "abc"...)
	b := append([]byte(lzopMagic), h...)
	b = be.AppendUint32(b, adlerOf(h))
	if flags&lzopExtraField != 0 {
		b = append(b, 0, 0, 0, 2, 'x', 'y', 0, 0, 0, 0)
	}
	b = be.AppendUint32(b, uint32(len(block)))
	b = be.AppendUint32(b, uint32(len(block)))
	if flags&lzopAdlerPlain != 0 {
		b = be.AppendUint32(b, adlerOf(block))
	}
	if flags&lzopCRCPlain != 0 {
		b = be.AppendUint32(b, crcOf(block))
	}
	b = append(b, block...)
	return append(b, 0, 0, 0, 0)
}

func TestLzop(t *testing.T) {
	block := []byte("stored as it is")
	for _, flags := range []uint32{0, lzopAdlerPlain, lzopCRCPlain, lzopAdlerPlain | lzopAdlerPacked | lzopCRCPlain | lzopCRCPacked, lzopExtraField} {
		good := stored(block, flags)
		got := make([]byte, len(block))
		if err := unlzop(got, good); err != nil || !bytes.Equal(got, block) {
			t.Errorf("flags %#x: %q, %v", flags, got, err)
		}
		for n := range good[len(lzopMagic):] {
			if err := unlzop(got, good[:len(lzopMagic)+n]); err == nil {
				t.Errorf("flags %#x, cut to %d bytes: no error", flags, n)
			}
		}
		if flags&(lzopAdlerPlain|lzopCRCPlain) != 0 {
			good[len(good)-5] ^= 1
			if err := unlzop(got, good); err == nil {
				t.Errorf("flags %#x, changed: no error", flags)
			}
		}
		good[20] ^= 1
		if err := unlzop(got, good); err == nil {
			t.Errorf("flags %#x, header changed: no error", flags)
		}
	}
	if err := unlzop(make([]byte, 1), stored(block, lzopFilter)); err == nil {
		t.Error("filter: no error")
	}
}
