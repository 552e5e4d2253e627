package boot

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"

	"github.com/anchore/go-lzo"
)

// lzopMagic begins a file of lzop, whose format the kernel uses for LZO.
const lzopMagic = "\x89LZO\x00\r\n\x1a\n"

// Flags in an lzop header: which checksums go with each block, and which fields
// the header has (lzop 1.04, conf.h).
const (
	lzopAdlerPlain  = 1 << 0 // Adler-32 of the decompressed block
	lzopAdlerPacked = 1 << 1 // Adler-32 of the compressed block
	lzopExtraField  = 1 << 6
	lzopCRCPlain    = 1 << 8
	lzopCRCPacked   = 1 << 9
	lzopFilter      = 1 << 11
)

// lzopLevels is the first version of the format with a level, a version needed
// to extract and 64-bit times.
const lzopLevels = 0x940

// lzopMaxBlock is the largest block that lzop makes.
const lzopMaxBlock = 64 << 20

// A beReader reads big-endian numbers from a slice, and remembers whether it
// ran out.
type beReader struct {
	b     []byte
	short bool
}

func (r *beReader) next(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.short, r.b = true, nil
		return make([]byte, min(n, 4))
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *beReader) u8() uint8   { return r.next(1)[0] }
func (r *beReader) u16() uint16 { return binary.BigEndian.Uint16(r.next(2)) }
func (r *beReader) u32() uint32 { return binary.BigEndian.Uint32(r.next(4)) }

// unlzop decompresses a file of lzop.
func unlzop(dst, src []byte) error {
	r := &beReader{b: src[len(lzopMagic):]}
	flags, err := lzopHeader(r)
	if err != nil {
		return err
	}
	for {
		size := uint64(r.u32())
		switch {
		case r.short:
			return io.ErrUnexpectedEOF
		case size == 0 && len(dst) > 0:
			return fmt.Errorf("it ends %d bytes too early", len(dst))
		case size == 0 && len(r.b) > 0:
			return errTooLong
		case size == 0:
			return nil
		case size > uint64(len(dst)):
			return errTooLong
		case size > lzopMaxBlock:
			return fmt.Errorf("a block of %d bytes is above the limit of %d", size, lzopMaxBlock)
		}
		if err := lzopBlock(r, flags, dst[:size]); err != nil {
			return err
		}
		dst = dst[size:]
	}
}

// lzopHeader reads the header and returns its flags.
func lzopHeader(r *beReader) (flags uint32, err error) {
	start := r.b
	version := r.u16()
	r.u16() // of the library
	if version >= lzopLevels {
		r.u16() // needed to extract
	}
	r.u8() // method: all are decompressed alike
	if version >= lzopLevels {
		r.u8() // level
	}
	flags = r.u32()
	if flags&lzopFilter != 0 {
		return 0, errors.New("it uses a filter, which kernels do not")
	}
	r.u32() // mode
	r.u32() // time
	if version >= lzopLevels {
		r.u32() // high half of the time
	}
	r.next(uint64(r.u8())) // name
	header := start[:len(start)-len(r.b)]
	if sum := r.u32(); !r.short && sum != adler32.Checksum(header) {
		return 0, errors.New("the checksum of its header is wrong")
	}
	if flags&lzopExtraField != 0 {
		r.next(uint64(r.u32()))
		r.u32() // checksum
	}
	if r.short {
		return 0, io.ErrUnexpectedEOF
	}
	return flags, nil
}

// lzopBlock decompresses one block, behind its first field, to dst.
func lzopBlock(r *beReader, flags uint32, dst []byte) error {
	size := uint64(r.u32())
	var adler, crc uint32
	if flags&lzopAdlerPlain != 0 {
		adler = r.u32()
	}
	if flags&lzopCRCPlain != 0 {
		crc = r.u32()
	}
	stored := size == uint64(len(dst)) // lzop stores what does not get smaller
	for _, packed := range []uint32{lzopAdlerPacked, lzopCRCPacked} {
		if flags&packed != 0 && !stored {
			r.u32() // the other checksum finds the same errors
		}
	}
	packed := r.next(size)
	switch {
	case r.short:
		return io.ErrUnexpectedEOF
	case stored:
		copy(dst, packed)
	case size > uint64(len(dst)):
		return fmt.Errorf("a block of %d bytes is compressed to %d", len(dst), size)
	default:
		n, err := lzo.Decompress(packed, dst)
		if err != nil {
			return err
		}
		if n != len(dst) {
			return fmt.Errorf("a block has %d bytes, not %d", n, len(dst))
		}
	}
	if flags&lzopAdlerPlain != 0 && adler != adler32.Checksum(dst) || flags&lzopCRCPlain != 0 && crc != crc32.ChecksumIEEE(dst) {
		return errors.New("the checksum of a block is wrong")
	}
	return nil
}
