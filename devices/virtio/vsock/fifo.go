package vsock

import (
	"io"
	"sync"
)

// A fifo is a ring of at most BufferSize bytes, which has memory while there is
// something in it.
type fifo struct {
	ring  *[BufferSize]byte // nil if it is empty
	start int               // of what is in it
	n     int               // bytes in it
}

// rings keeps rings between uses, since most packets find the fifo empty.
var rings = sync.Pool{New: func() any { return new([BufferSize]byte) }}

// room is the number of bytes that fit.
func (f *fifo) room() int { return BufferSize - f.n }

// fill puts the next n bytes of r, which is memory and has them, in.
//
// Preconditions: n <= room.
func (f *fifo) fill(r io.Reader, n int) {
	if f.ring == nil && n > 0 {
		f.ring = rings.Get().(*[BufferSize]byte)
	}
	for n > 0 {
		at := (f.start + f.n) % BufferSize
		got, _ := r.Read(f.ring[at:min(at+n, BufferSize)])
		f.n += got
		n -= got
	}
}

// next returns the bytes that came in first, as many as lie together. They stay
// as they are until they are dropped.
func (f *fifo) next() []byte {
	if f.n == 0 {
		return nil
	}
	return f.ring[f.start:min(f.start+f.n, BufferSize)]
}

// drop takes the first n bytes out.
func (f *fifo) drop(n int) {
	f.start = (f.start + n) % BufferSize
	f.n -= n
	if f.n == 0 && f.ring != nil {
		rings.Put(f.ring)
		f.ring, f.start = nil, 0
	}
}
