package wire

import (
	"encoding/binary"
	"fmt"
	"io"
)

// A chunk is a 32-bit little-endian count of bytes, then the bytes.
const (
	headerSize = 4
	maxChunk   = 32 << 10 // bytes: few system calls a megabyte, and little to hold in memory
)

// SendStream copies r to w in chunks, and the end of r, by whatever error, as
// an empty chunk. Its own error is w's.
func SendStream(w io.Writer, r io.Reader) error {
	buf := make([]byte, headerSize+maxChunk)
	for {
		n, readErr := r.Read(buf[headerSize:])
		if n > 0 {
			binary.LittleEndian.PutUint32(buf, uint32(n))
			if _, err := w.Write(buf[:headerSize+n]); err != nil {
				return err
			}
		}
		if readErr != nil {
			_, err := w.Write(make([]byte, headerSize))
			return err
		}
	}
}

// ReceiveStream copies the chunks of r to w until the empty one. When w does
// not take them any more it calls refused, once, and reads on to the end. Its
// own error is r's.
func ReceiveStream(w io.Writer, r io.Reader, refused func()) error {
	var header [headerSize]byte
	buf := make([]byte, maxChunk)
	for open := true; ; {
		if _, err := io.ReadFull(r, header[:]); err != nil {
			return err
		}
		n := binary.LittleEndian.Uint32(header[:])
		if n == 0 {
			return nil
		}
		if n > maxChunk {
			return fmt.Errorf("chunk of %d bytes; at most %d are ever sent", n, maxChunk)
		}
		if _, err := io.ReadFull(r, buf[:n]); err != nil {
			return err
		}
		if !open {
			continue
		}
		if _, err := w.Write(buf[:n]); err != nil {
			open = false
			refused()
		}
	}
}
