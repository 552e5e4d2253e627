package console

import "microvm/devices/virtio/virtq"

// A fifo is up to outLimit bytes, first in, first out.
type fifo struct {
	b     []byte // outLimit bytes from the first use on
	start int    // of the bytes that are in it
	n     int    // how many are in it
}

// free is room for bytes, in one piece and perhaps not all that there is.
//
// Preconditions: f is not full.
func (f *fifo) free() []byte {
	if f.b == nil {
		f.b = make([]byte, outLimit)
	}
	end := (f.start + f.n) % outLimit
	return f.b[end : end+min(outLimit-f.n, outLimit-end)]
}

// fill takes bytes from r, at least one.
//
// Preconditions: f is not full and r not empty.
func (f *fifo) fill(r *virtq.Reader) {
	n, _ := r.Read(f.free())
	f.n += n
}

// push puts one byte in.
//
// Preconditions: f is not full.
func (f *fifo) push(b byte) {
	f.free()[0] = b
	f.n++
}

// read takes bytes out.
func (f *fifo) read(p []byte) (n int) {
	for n < len(p) && f.n > 0 {
		k := copy(p[n:], f.b[f.start:min(f.start+f.n, outLimit)])
		f.start, f.n, n = (f.start+k)%outLimit, f.n-k, n+k
	}
	return n
}
