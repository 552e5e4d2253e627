package qcow2

import (
	"bytes"
	"fmt"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"
)

// sectorSize is the unit in which an entry gives the length of compressed data.
const sectorSize = 512

// maxZstdWindow bounds what a zstd decoder keeps of its output: what RFC 8878
// §3.1.1.1.2 recommends that every decoder support. The largest cluster is a
// quarter of it.
const maxZstdWindow = 8 << 20

// decompressed returns the cluster that an L2 entry with flagCompressed
// describes.
func (i *Image) decompressed(entry uint64) ([]byte, error) {
	return i.cache.get(cacheKey{i, entry}, func() ([]byte, error) { return i.decompress(entry) })
}

func (i *Image) decompress(entry uint64) ([]byte, error) {
	host, n := i.compressedRange(entry)
	src := make([]byte, n)
	got, err := i.file.ReadVector([][]byte{src}, host)
	if err != nil && err != io.EOF { // the last sector need not be whole
		return nil, err
	}
	dst := make([]byte, i.clusterSize())
	inflate := inflateDeflate
	if i.compressionType == compressionZstd {
		inflate = inflateZstd
	}
	if err := inflate(dst, src[:got]); err != nil {
		return nil, fmt.Errorf("corrupt: compressed cluster of %d bytes at %#x: %w", n, host, err)
	}
	return dst, nil
}

// compressedRange returns where an entry's compressed data begins in the file,
// and how long it is at most (qcow2 "Compressed Clusters Descriptor"): less
// than two clusters.
func (i *Image) compressedRange(entry uint64) (host, n int64) {
	x := 62 - (i.clusterBits - 8)
	host = int64(entry & (1<<x - 1))
	sectors := int64(entry&(flagCompressed-1)>>x) + 1
	return host, sectors*sectorSize - host%sectorSize
}

// Decoders are kept: making one costs more than a cluster does.
var (
	deflateDecoders = sync.Pool{New: func() any { return flate.NewReader(nil) }}
	zstdDecoders    = sync.Pool{New: func() any {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			panic(err) // an option that is out of its range
		}
		return d
	}}
)

// inflateDeflate fills dst from src, a deflate stream without header; what
// follows it is of other clusters.
func inflateDeflate(dst, src []byte) error {
	d := deflateDecoders.Get().(io.ReadCloser)
	defer deflateDecoders.Put(d)
	if err := d.(flate.Resetter).Reset(bytes.NewReader(src), nil); err != nil {
		return err
	}
	_, err := io.ReadFull(d, dst)
	return err
}

// inflateZstd fills dst from src, which begins with zstd frames.
func inflateZstd(dst, src []byte) error {
	d := zstdDecoders.Get().(*zstd.Decoder)
	defer zstdDecoders.Put(d)
	if err := d.Reset(bytes.NewReader(src)); err != nil {
		return err
	}
	_, err := io.ReadFull(d, dst)
	return err
}
