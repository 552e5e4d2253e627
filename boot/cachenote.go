package boot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// A cached kernel is an ELF whose first page holds headers and notes alone, one
// of them ours.
const (
	noteCache     = "vmm"
	cacheNoteKind = 1
	cacheFormat   = 1 // of the note, and of the file around it
)

// A cacheNote says what a cached kernel is made of.
type cacheNote struct {
	Format     uint32
	ContentSum uint32 // CRC-32C of everything behind the first page
	FileSize   uint64
	Created    int64 // seconds since 1970; the file's modification time is the same
	Source     contentHash
	Version    [maxVersionString]byte // of the kernel, for people
	Path       [1024]byte             // of the image that it was first made of, for people
}

// A contentHash identifies a kernel by its bytes.
type contentHash [sha256.Size]byte

// decodeCacheNote returns the note of a cached kernel, or nil if it is none of
// this format.
func decodeCacheNote(desc []byte) *cacheNote {
	var n cacheNote
	if len(desc) != binary.Size(&n) {
		return nil
	}
	if _, err := binary.Decode(desc, binary.LittleEndian, &n); err != nil || n.Format != cacheFormat {
		return nil
	}
	return &n
}

func (n *cacheNote) created() time.Time { return time.Unix(n.Created, 0) }

// text returns the string in a field that is padded with zeros.
func text(field []byte) string {
	s, _, _ := bytes.Cut(field, []byte{0})
	return printable(s)
}
