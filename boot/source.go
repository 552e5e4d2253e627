package boot

import (
	"bytes"
	"io"
	"time"
)

// A source is an ELF to load and where its bytes are.
type source struct {
	elf     *elfImage
	data    io.ReaderAt
	aligned bool // segments are whole pages in data, a file, as in memory
	close   func()
}

// openELF returns the kernel as an ELF: decompressed if need be, from the cache
// if it is there.
func (l *loader) openELF() (*source, error) {
	k := l.Kernel
	if k.bz == nil {
		return &source{elf: k.elf, data: k.file, close: func() {}}, nil
	}
	start := time.Now()
	image, release, err := k.readImage()
	if err != nil {
		return nil, err
	}
	defer release()
	off, size := k.bz.payload()
	l.phase("kernel read", start)
	start = time.Now()
	b, releaseELF, err := k.decompress(image[off:][:size])
	if err != nil {
		return nil, err
	}
	l.phase("kernel decompressed", start)
	elf, err := parseELF(bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		releaseELF()
		return nil, err
	}
	return &source{elf: elf, data: bytes.NewReader(b), close: releaseELF}, nil
}
