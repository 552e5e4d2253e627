package boot

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/therootcompany/xz"
	"github.com/ulikunitz/xz/lzma"
)

// A compression is one that a kernel's build offers (CONFIG_KERNEL_GZIP and
// its siblings).
type compression struct {
	name    string
	magic   string
	ownSize bool // the format itself ends with the uncompressed size
	// decompress fills dst exactly from src, which begins with magic.
	decompress func(dst, src []byte) error
}

// The magic numbers are those of the kernel's lib/decompress.c, longer where
// the format allows.
var compressions = []compression{
	{"gzip", "\x1f\x8b\x08", true, gunzip},
	{"bzip2", "BZh", false, bunzip2},
	{"lzma", "\x5d\x00\x00", false, unlzma},
	{"xz", "\xfd7zXZ\x00", false, unxz},
	{"lzo", lzopMagic, false, unlzop},
	{"lz4", "\x02\x21\x4c\x18", false, unlz4},
	{"zstd", "\x28\xb5\x2f\xfd", false, unzstd},
}

// maxMagic is the length of the longest magic number.
const maxMagic = uint64(len(lzopMagic))

// maxWindow bounds the memory that a decompressor keeps of what it has put out.
// The kernel's build uses up to 128 MiB (xz and zstd at their highest).
const maxWindow = 128 << 20

// compressionOf returns the compression of what begins with b, or nil.
func compressionOf(b []byte) *compression {
	for i := range compressions {
		if bytes.HasPrefix(b, []byte(compressions[i].magic)) {
			return &compressions[i]
		}
	}
	return nil
}

func compressionNames() string {
	var names []string
	for _, c := range compressions {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// errTooLong says that there is more in a stream than it should have.
var errTooLong = errors.New("there is more")

// fill reads all of dst from r, which must end there.
func fill(dst []byte, r io.Reader) error {
	if n, err := io.ReadFull(r, dst); err != nil {
		return fmt.Errorf("after %d bytes: %w", n, err)
	}
	var more [1]byte
	switch n, err := io.ReadFull(r, more[:]); {
	case n > 0:
		return errTooLong
	case !errors.Is(err, io.EOF): // a wrong checksum, for example
		return err
	}
	return nil
}

func gunzip(dst, src []byte) error {
	r, err := gzip.NewReader(bytes.NewReader(src))
	if err != nil {
		return err
	}
	return fill(dst, r)
}

func bunzip2(dst, src []byte) error {
	return fill(dst, bzip2.NewReader(bytes.NewReader(src)))
}

// lzmaDictOffset is where an LZMA stream has the size of its dictionary, in 4
// bytes, behind one byte of parameters.
const lzmaDictOffset = 1

func unlzma(dst, src []byte) error {
	if len(src) < lzma.HeaderLen {
		return io.ErrUnexpectedEOF
	}
	if dict := binary.LittleEndian.Uint32(src[lzmaDictOffset:]); dict > maxWindow {
		return fmt.Errorf("its dictionary of %d bytes is above the limit of %d", dict, maxWindow)
	}
	r, err := lzma.NewReader(bytes.NewReader(src))
	if err != nil {
		return err
	}
	return fill(dst, r)
}

// unxz uses a library that knows the filter for x86 code (BCJ), which the
// kernel's build uses and github.com/ulikunitz/xz does not know.
func unxz(dst, src []byte) error {
	r, err := xz.NewReader(bytes.NewReader(src), maxWindow)
	if err != nil {
		return err
	}
	r.Multistream(false)
	return fill(dst, r)
}

func unzstd(dst, src []byte) error {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow),
		zstd.WithDecoderMaxMemory(uint64(max(len(dst), maxWindow))), zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return err
	}
	defer d.Close()
	out, err := d.DecodeAll(src, dst[:0:len(dst)])
	if err == nil && len(out) != len(dst) {
		err = fmt.Errorf("it ends after %d bytes", len(out))
	}
	return err
}

// lz4Block is the size of a block of LZ4's legacy format, less for the last.
const lz4Block = 8 << 20

// unlz4 reads LZ4's legacy format: a magic number, and then blocks, each behind
// its compressed size in 4 bytes.
func unlz4(dst, src []byte) error {
	src = src[4:]
	for len(dst) > 0 {
		if len(src) < 4 {
			return io.ErrUnexpectedEOF
		}
		size := uint64(binary.LittleEndian.Uint32(src))
		if src = src[4:]; size > uint64(len(src)) {
			return io.ErrUnexpectedEOF
		}
		want := min(len(dst), lz4Block)
		n, err := lz4.UncompressBlock(src[:size], dst[:want])
		if err != nil {
			return err
		}
		if n != want {
			return fmt.Errorf("a block has %d bytes, not %d", n, want)
		}
		dst, src = dst[n:], src[size:]
	}
	if len(src) > 0 {
		return errTooLong
	}
	return nil
}
