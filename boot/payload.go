package boot

import (
	"bytes"

	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"golang.org/x/sys/unix"
)

// maxKernelSize bounds a kernel's bytes, compressed and decompressed, and so what
// headers that lie can make us read and allocate. Debian's generic kernel, the
// largest that is common, has 66 MB.
const maxKernelSize = 512 << 20

// errPayload says that a payload is not what its size or checksum promises.
var errPayload = errors.New("the bzImage is damaged")

// payload returns where the compressed kernel begins in the file, and its size;
// the size is 0 if the header names none.
func (b *bzImage) payload() (offset, size uint64) {
	return b.setupSize + uint64(b.header.PayloadOffset), uint64(b.header.PayloadLength)
}

// compression returns how the payload of k is compressed.
func (k *Kernel) compression() (*compression, error) {
	offset, size := k.bz.payload()
	magic := make([]byte, min(size, maxMagic))
	if _, err := k.file.ReadAt(magic, int64(offset)); err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	c := compressionOf(magic)
	if c == nil {
		return nil, fmt.Errorf("its payload of %d bytes begins with % x, which is of no known compression (%s): "+
			"the kernel may know itself how to decompress it; try the kernel entry %s",
			size, magic, compressionNames(), k.decompressorEntry())
	}
	return c, nil
}

// decompressorEntry is the way in to k's own decompressor.
//
// Preconditions: k is a bzImage.
func (k *Kernel) decompressorEntry() Entry {
	if k.bz.header.XLoadFlags&xlfKernel64 != 0 {
		return EntryLinux64
	}
	return EntryLinux32
}

// scratch returns n zero bytes outside the Go heap, and what gives them back to
// the host at once. Kernels are tens of megabytes that are needed for some
// milliseconds; on the heap they would stay with the process.
func scratch(n uint64) (b []byte, release func(), err error) {
	b, err = unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, nil, fmt.Errorf("%d bytes of memory for the kernel: %w", n, err)
	}
	// Fewer and cheaper page faults. Without huge pages it works as well.
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	return b, func() { _ = unix.Munmap(b) }, nil // which fails only for what is not mapped
}

// readImage reads the bzImage, without what follows the protected-mode code.
func (k *Kernel) readImage() (b []byte, release func(), err error) {
	b, release, err = scratch(k.bz.setupSize + k.bz.codeSize)
	if err != nil {
		return nil, nil, err
	}
	if _, err := k.file.ReadAt(b, 0); err != nil {
		release()
		return nil, nil, fmt.Errorf("reading it: %w", err)
	}
	return b, release, nil
}

// decompress returns the decompressed payload, an ELF, and what gives its
// memory back.
func (k *Kernel) decompress(payload []byte) (b []byte, release func(), err error) {
	c, err := k.compression()
	if err != nil {
		return nil, nil, err
	}
	size, packed, err := c.split(payload)
	if err != nil {
		return nil, nil, err
	}
	b, release, err = scratch(size)
	if err != nil {
		return nil, nil, err
	}
	if err := c.decompress(b, packed); err != nil {
		release()
		return nil, nil, fmt.Errorf("%w: its payload (%s, %d bytes) does not decompress to the %d bytes that it promises: %w",
			errPayload, c.name, len(payload), size, err)
	}
	if !bytes.HasPrefix(b, []byte("\x7fELF")) {
		release()
		return nil, nil, fmt.Errorf("its payload is not an ELF file; let the kernel decompress itself: kernel entry %s",
			k.decompressorEntry())
	}
	return b, release, nil
}

// sizeTrailer is the size of the uncompressed size that the kernel's build
// appends to a payload; gzip ends with the same of its own accord.
const sizeTrailer = 4

// split takes the uncompressed size off the end of a payload. What is left begins
// with the compression's magic number.
//
// Preconditions: payload does, too.
func (c *compression) split(payload []byte) (size uint64, packed []byte, err error) {
	if len(payload) < len(c.magic)+sizeTrailer {
		return 0, nil, fmt.Errorf("%w: its payload has only %d bytes", errPayload, len(payload))
	}
	end := len(payload) - sizeTrailer
	size = uint64(binary.LittleEndian.Uint32(payload[end:]))
	if size == 0 || size > maxKernelSize {
		return 0, nil, fmt.Errorf("%w: its payload of %d bytes is said to decompress to %d; the limit is %d",
			errPayload, len(payload), size, maxKernelSize)
	}
	if c.ownSize {
		return size, payload, nil
	}
	return size, payload[:end], nil
}
