package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The header is the image's first bytes; numbers are big-endian (qcow2
// "Header"). Offsets in it:
const (
	offMagic           = 0
	offVersion         = 4
	offBackingName     = 8
	offBackingSize     = 16
	offClusterBits     = 20
	offSize            = 24
	offCryptMethod     = 32
	offL1Size          = 36
	offL1Table         = 40
	offRefcountTable   = 48
	offRefcountLength  = 56
	headerLength2      = 72 // version 2 ends here
	offIncompatible    = 72
	offAutoclear       = 88
	offRefcountOrder   = 96
	offHeaderLength    = 100
	headerLength3      = 104 // version 3's least
	offCompressionType = 104
)

// Magic is what every image begins with.
const Magic = "QFI\xfb"

// The incompatible features (qcow2 "incompatible_features").
const (
	featureDirty        = 1 << 0 // refcounts may be wrong
	featureCorrupt      = 1 << 1 // anything may be wrong
	featureExternalData = 1 << 2 // clusters lie in another file
	featureCompression  = 1 << 3 // the header has a compression type
	featureExtendedL2   = 1 << 4 // entries of 16 bytes, with subclusters

	featuresKnown = featureDirty | featureCorrupt | featureCompression | featureExtendedL2
)

// Values of the header's crypt_method and compression_type.
const (
	cryptNone = 0

	compressionDeflate = 0
	compressionZstd    = 1
)

// Types of header extensions (qcow2 "Header extensions").
const (
	extensionEnd           = 0
	extensionBackingFormat = 0xe2792aca
	extensionFeatureNames  = 0x6803f857
)

const (
	minClusterBits         = 9
	maxClusterBits         = 21 // that of QEMU: a table or a decompressed cluster is 2 MiB
	minExtendedClusterBits = 14
	maxBackingName         = 1023
	maxRefcountOrder       = 6

	// maxL1 bounds the L1 table in bytes. It is QEMU's limit, which no image
	// that QEMU made exceeds: 2 EiB of disk in clusters of 2 MiB, 2 TiB in
	// clusters of 8 KiB.
	maxL1 = 32 << 20
	// maxRefcountTable bounds the refcount table in bytes, as QEMU does.
	maxRefcountTable = 8 << 20
)

// A header is what the first cluster says, checked by itself: every number is
// one that this package can compute with, and says nothing about the file yet.
type header struct {
	version         uint32
	clusterBits     uint
	size            int64 // of the disk, bytes
	l1Entries       int64 // that the disk's size needs; the table may be longer
	l1Table         int64 // offset in the file
	refcountTable   int64 // likewise
	refcountLength  int64 // of the table, clusters
	refcountOrder   uint  // log2 of a refcount's bits
	incompatible    uint64
	autoclear       uint64
	compressionType byte
	backing         string // name of the backing file, as written; "" for none
	backingFormat   string // "" if it is not given
}

func (h *header) clusterSize() int64 { return 1 << h.clusterBits }

// clusters is how many clusters n bytes are.
func (h *header) clusters(n int64) int64 { return (n + h.clusterSize() - 1) >> h.clusterBits }

// entryBits is log2 of the size of an L2 entry.
func (h *header) entryBits() uint {
	if h.incompatible&featureExtendedL2 != 0 {
		return 4
	}
	return 3
}

// l2Bits is log2 of the bytes of the disk that an L2 table covers.
func (h *header) l2Bits() uint { return 2*h.clusterBits - h.entryBits() }

// Probe says whether f begins as a qcow2 image does.
func Probe(f io.ReaderAt) bool {
	var magic [len(Magic)]byte
	_, err := io.ReadFull(io.NewSectionReader(f, 0, int64(len(magic))), magic[:])
	return err == nil && string(magic[:]) == Magic
}

// readHeader reads and checks the header of f.
func readHeader(f io.ReaderAt) (*header, error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, headerLength2))
	if err != nil {
		return nil, err
	}
	h, err := parseStart(b)
	if err != nil {
		return nil, err
	}
	first, err := io.ReadAll(io.NewSectionReader(f, 0, h.clusterSize()))
	if err != nil {
		return nil, err
	}
	return h, h.parse(first)
}

// parseStart reads what says how long the rest is.
func parseStart(b []byte) (*header, error) {
	if len(b) < len(Magic) || string(b[offMagic:offMagic+len(Magic)]) != Magic {
		return nil, errors.New("not a qcow2 image: it does not begin with \"QFI\\xfb\"")
	}
	if len(b) < headerLength2 {
		return nil, fmt.Errorf("truncated: %d bytes, shorter than a qcow2 header", len(b))
	}
	version := binary.BigEndian.Uint32(b[offVersion:])
	if version != 2 && version != 3 {
		return nil, fmt.Errorf("version %d of qcow2; known are 2 and 3", version)
	}
	bits := binary.BigEndian.Uint32(b[offClusterBits:])
	if bits < minClusterBits || bits > maxClusterBits {
		return nil, fmt.Errorf("clusters of 2^%d bytes; qcow2 has 2^%d to 2^%d", bits, minClusterBits, maxClusterBits)
	}
	return &header{version: version, clusterBits: uint(bits), refcountOrder: 4}, nil
}

// parse reads the rest of the header from the image's first cluster.
func (h *header) parse(first []byte) error {
	length := uint32(headerLength2)
	if h.version == 3 {
		if len(first) < headerLength3 {
			return fmt.Errorf("truncated: %d bytes, shorter than a qcow2 header of version 3", len(first))
		}
		length = binary.BigEndian.Uint32(first[offHeaderLength:])
		if length < headerLength3 || int64(length) > int64(len(first)) || length%8 != 0 {
			return fmt.Errorf("a header of %d bytes; at least %d, within the first cluster, and a multiple of 8", length, headerLength3)
		}
		h.parseVersion3(first[:length])
	}
	x, err := parseExtensions(first[length:])
	if err != nil {
		return err
	}
	h.backingFormat = x.backingFormat
	if err := h.checkFeatures(x.featureNames); err != nil {
		return err
	}
	if method := binary.BigEndian.Uint32(first[offCryptMethod:]); method != cryptNone {
		return fmt.Errorf("encrypted (crypt_method %d): decrypt it with \"qemu-img convert\" first", method)
	}
	if err := h.parseTables(first); err != nil {
		return err
	}
	return h.parseBacking(first)
}

// parseVersion3 reads the fields that version 2 does not have.
func (h *header) parseVersion3(b []byte) {
	h.incompatible = binary.BigEndian.Uint64(b[offIncompatible:])
	h.autoclear = binary.BigEndian.Uint64(b[offAutoclear:])
	h.refcountOrder = uint(binary.BigEndian.Uint32(b[offRefcountOrder:]))
	if len(b) > offCompressionType {
		h.compressionType = b[offCompressionType]
	}
}

func (h *header) checkFeatures(names map[int]string) error {
	if h.incompatible&featureExternalData != 0 {
		return errors.New("its data is in an external data file, which is not supported")
	}
	var unknown []string
	for bit := range 64 {
		if h.incompatible&^featuresKnown&(1<<bit) == 0 {
			continue
		}
		name := fmt.Sprintf("bit %d", bit)
		if names[bit] != "" {
			name = fmt.Sprintf("%q (bit %d)", names[bit], bit)
		}
		unknown = append(unknown, name)
	}
	if unknown != nil {
		return fmt.Errorf("it uses incompatible features that are not supported: %s", strings.Join(unknown, ", "))
	}
	if h.incompatible&featureExtendedL2 != 0 && h.clusterBits < minExtendedClusterBits {
		return fmt.Errorf("extended L2 entries in clusters of 2^%d bytes; they need at least 2^%d", h.clusterBits, minExtendedClusterBits)
	}
	if used := h.incompatible&featureCompression != 0; used != (h.compressionType != compressionDeflate) || h.compressionType > compressionZstd {
		return fmt.Errorf("compression type %d, feature bit %t; known are deflate (0, bit false) and zstd (1, bit true)", h.compressionType, used)
	}
	if h.refcountOrder > maxRefcountOrder {
		return fmt.Errorf("refcounts of 2^%d bits; at most 2^%d", h.refcountOrder, maxRefcountOrder)
	}
	return nil
}

// parseTables reads the disk's size and where the tables are.
func (h *header) parseTables(b []byte) error {
	be := binary.BigEndian
	size := be.Uint64(b[offSize:])
	if size > 1<<62 {
		return fmt.Errorf("a disk of %d bytes is too large", size)
	}
	h.size = int64(size)
	coverage := int64(1) << h.l2Bits()
	h.l1Entries = (h.size + coverage - 1) / coverage
	if h.l1Entries > maxL1/8 {
		return fmt.Errorf("a disk of %d bytes in clusters of %d needs an L1 table of %d bytes; at most %d are read",
			h.size, h.clusterSize(), h.l1Entries*8, maxL1)
	}
	if n := be.Uint32(b[offL1Size:]); int64(n) < h.l1Entries {
		return fmt.Errorf("an L1 table of %d entries; a disk of %d bytes needs %d", n, h.size, h.l1Entries)
	}
	var err error
	if h.l1Table, err = h.tableOffset("L1 table", be.Uint64(b[offL1Table:])); err != nil && h.l1Entries > 0 {
		return err
	}
	if h.refcountTable, err = h.tableOffset("refcount table", be.Uint64(b[offRefcountTable:])); err != nil {
		return err
	}
	h.refcountLength = int64(be.Uint32(b[offRefcountLength:]))
	if h.refcountLength > maxRefcountTable>>h.clusterBits {
		return fmt.Errorf("a refcount table of %d clusters of %d bytes; at most %d bytes are read", h.refcountLength, h.clusterSize(), maxRefcountTable)
	}
	return nil
}

// tableOffset checks where a table of the header's begins.
func (h *header) tableOffset(what string, off uint64) (int64, error) {
	if off&^offsetMask != 0 || off&uint64(h.clusterSize()-1) != 0 || off == 0 {
		return 0, fmt.Errorf("the %s at %#x is not at a cluster of the file", what, off)
	}
	return int64(off), nil
}

// parseBacking reads the backing file's name, which lies after the header in the
// first cluster.
func (h *header) parseBacking(b []byte) error {
	off, n := binary.BigEndian.Uint64(b[offBackingName:]), binary.BigEndian.Uint32(b[offBackingSize:])
	if off == 0 || n == 0 {
		return nil
	}
	if n > maxBackingName || off > uint64(len(b)) || uint64(n) > uint64(len(b))-off {
		return fmt.Errorf("the backing file's name (%d bytes at %#x) is not within the first cluster, or longer than %d bytes", n, off, maxBackingName)
	}
	h.backing = string(b[off : off+uint64(n)])
	return nil
}

type extensions struct {
	backingFormat string
	featureNames  map[int]string // of incompatible features, by bit
}

// parseExtensions reads what follows the header in the first cluster.
func parseExtensions(b []byte) (extensions, error) {
	var x extensions
	for len(b) >= 8 {
		kind, n := binary.BigEndian.Uint32(b), int64(binary.BigEndian.Uint32(b[4:]))
		if kind == extensionEnd {
			break
		}
		b = b[8:]
		if n > int64(len(b)) {
			return x, fmt.Errorf("a header extension (type %#x) of %d bytes does not fit in the first cluster", kind, n)
		}
		data := b[:n]
		b = b[min((n+7)&^7, int64(len(b))):]
		switch kind {
		case extensionBackingFormat:
			x.backingFormat = string(data)
		case extensionFeatureNames:
			x.featureNames = parseFeatureNames(data)
		}
	}
	return x, nil
}

// parseFeatureNames reads entries of a type, a bit and a name padded with zeros
// (qcow2 "Feature name table").
func parseFeatureNames(b []byte) map[int]string {
	const (
		entrySize    = 48
		incompatible = 0
	)
	names := map[int]string{}
	for ; len(b) >= entrySize; b = b[entrySize:] {
		if b[0] == incompatible {
			names[int(b[1])] = strings.TrimRight(string(b[2:entrySize]), "\x00")
		}
	}
	return names
}
