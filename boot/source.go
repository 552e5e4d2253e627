package boot

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"runtime/debug"
	"time"
)

// A source is an ELF to load and where its bytes are.
type source struct {
	elf     *elfImage
	data    io.ReaderAt
	size    uint64 // of data
	aligned bool   // segments are whole pages in data, a file, as in memory
	image   bool   // data is the image's file, which others may write to
	close   func()
}

// openELF returns the kernel as an ELF: from the cache if it is there, else
// decompressed if need be, and kept in the cache.
//
// The cache never fails a start: what goes wrong with it is kept in CacheErr,
// and the kernel is made without it.
func (l *loader) openELF() (*source, error) {
	cache, err := l.openCache()
	if cache == nil {
		l.out.CacheErr = err
		s, _, err := l.extract(nil)
		return s, err
	}
	start := time.Now()
	s, err := cache.image(l.Kernel.id)
	if err == nil {
		l.phase("kernel from cache", start)
		l.out.CacheHit = true
		return s, nil
	}
	l.cacheFailed(err)
	s, h, err := l.extract(cache)
	if err != nil {
		return nil, err
	}
	start = time.Now()
	if !s.aligned {
		kept, err := cache.add(l.Kernel, h, s)
		if err != nil {
			l.cacheFailed(err)
			return s, nil
		}
		s.close()
		s = kept
	}
	l.cacheFailed(cache.remember(l.Kernel, h))
	l.phase("kernel into cache", start)
	return s, nil
}

// openCache returns the cache, or nil and why it cannot be used.
func (l *loader) openCache() (*Cache, error) {
	if l.CacheDir == "" {
		return nil, nil
	}
	return OpenCache(l.CacheDir)
}

// cacheFailed keeps the first thing that went wrong with the cache.
func (l *loader) cacheFailed(err error) {
	if err != nil && !errors.Is(err, errMiss) && l.out.CacheErr == nil {
		l.out.CacheErr = fmt.Errorf("cache: %w", err)
	}
}

// extract makes an ELF of the image, and returns its hash if cache is not nil.
// If cache has a kernel of that hash, it is taken from there.
func (l *loader) extract(cache *Cache) (*source, contentHash, error) {
	if l.Kernel.bz != nil {
		return l.extractPayload(cache)
	}
	k := l.Kernel
	plain := &source{elf: k.elf, data: k.file, size: k.size, image: true, close: func() {}}
	if cache == nil {
		return plain, contentHash{}, nil
	}
	start := time.Now()
	h, err := k.elfHash()
	if err != nil {
		return nil, h, err
	}
	l.phase("kernel hashed", start)
	if s, ok := l.known(cache, h); ok {
		return s, h, nil
	}
	return plain, h, nil
}

// known takes the kernel that was made of what has the hash h from the cache.
func (l *loader) known(cache *Cache, h contentHash) (*source, bool) {
	s, err := cache.kernel(h)
	l.cacheFailed(err)
	l.out.CacheHit = err == nil
	return s, err == nil
}

// extractPayload decompresses a bzImage's payload.
func (l *loader) extractPayload(cache *Cache) (s *source, h contentHash, err error) {
	k := l.Kernel
	start := time.Now()
	image, release, err := k.readImage()
	if err != nil {
		return nil, h, err
	}
	defer release()
	if err := k.checkSum(image); err != nil {
		return nil, h, err
	}
	offset, size := k.bz.payload()
	payload := image[offset:][:size]
	l.phase("kernel read", start)
	if cache != nil {
		start = time.Now()
		h = sha256.Sum256(payload)
		l.phase("kernel hashed", start)
		if s, ok := l.known(cache, h); ok {
			return s, h, nil
		}
	}
	start = time.Now()
	s, err = k.unpack(payload)
	l.phase("kernel decompressed", start)
	return s, h, err
}

// unpack decompresses a bzImage's payload and reads it as an ELF.
func (k *Kernel) unpack(payload []byte) (*source, error) {
	b, release, err := k.decompress(payload)
	// What the decompressor remembered is garbage now, up to maxWindow. A
	// monitor makes little else, and would not collect it for minutes.
	debug.FreeOSMemory()
	if err != nil {
		return nil, err
	}
	elf, err := parseELF(bytes.NewReader(b), uint64(len(b)))
	if err != nil {
		release()
		return nil, fmt.Errorf("its payload: %w", err)
	}
	return &source{elf: elf, data: bytes.NewReader(b), size: uint64(len(b)), close: release}, nil
}

// elfHash hashes what is loaded of an ELF. Symbols and debugging information,
// which may be many times as much, do not matter.
func (k *Kernel) elfHash() (h contentHash, err error) {
	sum := newELFSum(k.elf)
	buf := make([]byte, 1<<20)
	for _, s := range k.elf.segments {
		sum.begin(s)
		if err := copySegment(sum, k.file, s, buf); err != nil {
			return h, fmt.Errorf("reading it: %w", err)
		}
	}
	return sum.hash(), nil
}

// An elfSum makes the hash of an ELF, from its segments in their order: begin,
// and then the bytes of the segment, for each of them.
type elfSum struct{ sha hash.Hash }

func newELFSum(img *elfImage) elfSum {
	sum := elfSum{sha256.New()}
	fmt.Fprintf(sum, "elf %d %#x %#x %t %q\n", img.bits, img.entry, img.pvhEntry, img.linux, img.release)
	return sum
}

func (e elfSum) begin(s segment) {
	fmt.Fprintf(e, "%#x %#x %#x %#x %d\n", s.Addr, s.Virtual, s.FileSize, s.MemSize, s.Flags)
}

func (e elfSum) Write(b []byte) (int, error) { return e.sha.Write(b) }

func (e elfSum) hash() (h contentHash) {
	e.sha.Sum(h[:0])
	return h
}

// copySegment writes the bytes of a segment of data to w, by way of buf. That
// there are fewer than when the headers were read is an error.
func copySegment(w io.Writer, data io.ReaderAt, s segment, buf []byte) error {
	from := io.NewSectionReader(data, int64(s.Offset), int64(s.FileSize))
	n, err := io.CopyBuffer(struct{ io.Writer }{w}, struct{ io.Reader }{from}, buf)
	if err == nil && n < int64(s.FileSize) {
		err = fmt.Errorf("its segment at %#x ends after %d of %d bytes: %w", s.Addr, n, s.FileSize, io.ErrUnexpectedEOF)
	}
	return err
}
