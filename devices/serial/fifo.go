package serial

// fifoSize is the depth of the receive FIFO in bytes. Drivers count it.
const fifoSize = 16

// A fifo is the receive FIFO: a ring of bytes.
type fifo struct {
	buf   [fifoSize]byte
	first int // index of the oldest byte
	n     int // bytes in it
}

// push appends as much of p as keeps f at no more than depth bytes, and returns
// how much that was.
func (f *fifo) push(p []byte, depth int) int {
	k := min(len(p), max(depth-f.n, 0))
	for i, b := range p[:k] {
		f.buf[(f.first+f.n+i)%fifoSize] = b
	}
	f.n += k
	return k
}

// pop removes the oldest byte. An empty FIFO gives 0.
func (f *fifo) pop() byte {
	if f.n == 0 {
		return 0
	}
	b := f.buf[f.first]
	f.first = (f.first + 1) % fifoSize
	f.n--
	return b
}
