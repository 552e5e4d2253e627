package virtq

import "io"

// A Chain is a buffer that the driver has made available: first bytes for the
// device to read, then room for it to write (virtio-v1.2 §2.6). [Queue.Pop] has
// checked all of it, so whatever the guest's descriptors were
//
//   - every byte is RAM,
//   - there are at most as many pieces as the queue has entries,
//   - the sum of the lengths is below 2^32.
//
// The bytes alias memory that the guest goes on writing: copy, check, use. A
// Chain may be used for one Pop after another, and then allocates nothing.
type Chain struct {
	Reader Reader // what the driver says
	Writer Writer // where the driver wants the answer

	id       uint16   // what the driver knows it by
	entries  uint16   // of a packed ring that it takes
	pieces   [][]byte // all of them, the readable ones first
	readable int      // how many of pieces
	writes   bool     // the last piece is writable
	sum      uint64   // of all lengths, in bytes
}

func (c *Chain) reset(id uint16) {
	*c = Chain{id: id, pieces: c.pieces[:0]}
}

// seal makes Reader and Writer of the pieces.
func (c *Chain) seal() {
	c.Reader = Reader{newBuffers(c.pieces[:c.readable])}
	c.Writer = Writer{newBuffers(c.pieces[c.readable:])}
}

// Buffers is guest memory in pieces, as if it were one. It is a value: a copy
// has a position of its own.
type Buffers struct {
	pieces [][]byte
	off    int // into the first piece; less than its length if n > 0
	n      int // bytes that are left
}

// newBuffers makes one of pieces none of which is empty.
func newBuffers(pieces [][]byte) Buffers {
	b := Buffers{pieces: pieces}
	for _, p := range pieces {
		b.n += len(p)
	}
	return b
}

// Len is the number of bytes left.
func (b *Buffers) Len() int { return b.n }

// SplitAt returns the first n bytes, or all if there are fewer, and the rest.
func (b *Buffers) SplitAt(n int) (first, rest Buffers) {
	first, rest = *b, *b
	n = min(n, b.n)
	rest.Skip(n)
	first.n = n
	return first, rest
}

// Skip leaves out the next n bytes, or all if there are fewer.
func (b *Buffers) Skip(n int) {
	n = min(n, b.n)
	b.n -= n
	for n += b.off; n > 0 && n >= len(b.pieces[0]); b.pieces = b.pieces[1:] {
		n -= len(b.pieces[0])
	}
	b.off = n
}

// Next appends the next n bytes, or all if there are fewer, to dst in pieces,
// and goes past them. It is for scattered I/O straight to or from the guest.
func (b *Buffers) Next(dst [][]byte, n int) [][]byte {
	from := *b
	b.Skip(n)
	ended := len(from.pieces) - len(b.pieces) // pieces of which nothing is left
	if ended > 0 {
		dst = append(dst, from.pieces[0][from.off:])
		dst = append(dst, from.pieces[1:ended]...) // at once: a disk's request may have hundreds
		from.off = 0
	}
	if from.off < b.off {
		dst = append(dst, b.pieces[0][from.off:b.off:b.off])
	}
	return dst
}

// take returns up to n of the next bytes that are in one piece, and goes past
// them.
//
// Preconditions: 0 < n <= b.n.
func (b *Buffers) take(n int) []byte {
	piece := b.pieces[0][b.off:]
	if n < len(piece) {
		b.off += n
	} else {
		n = len(piece)
		b.pieces, b.off = b.pieces[1:], 0
	}
	b.n -= n
	return piece[:n:n]
}

// A Reader reads what the driver has put into a chain.
type Reader struct{ Buffers }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (n int, err error) {
	if r.n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	for n < len(p) && r.n > 0 {
		n += copy(p[n:], r.take(min(len(p)-n, r.n)))
	}
	return n, nil
}

// A Writer writes where the driver wants a device's answer.
type Writer struct{ Buffers }

// Write implements io.Writer. If there is not enough room it writes what fits,
// and the error is [io.ErrShortBuffer].
func (w *Writer) Write(p []byte) (n int, err error) {
	for n < len(p) && w.n > 0 {
		n += copy(w.take(min(len(p)-n, w.n)), p[n:])
	}
	if n < len(p) {
		return n, io.ErrShortBuffer
	}
	return n, nil
}
