package block

import (
	"io"
	"math/bits"

	"microvm/devices/virtio"
)

// An Image is what a disk's sectors are kept in.
type Image interface {
	Info() Info
	// NewEngine starts an engine for a queue, of which at most depth
	// operations, and at least one, are under way at once. When an operation
	// is done later than Submit, the engine adds to the eventfd doorbell.
	NewEngine(depth, doorbell int) (Engine, error)
	// Describe says of what kind the image and its engines are.
	Describe() []virtio.Property
	// Close gives the image back, when no engine is left.
	io.Closer
}

// An Info is what a driver is told of an image.
type Info struct {
	Size     int64 // bytes, a multiple of [SectorSize]
	ReadOnly bool
	// Writeback says that a write that is done may be lost when the host
	// crashes, until a flush is done, unless the driver wants it otherwise.
	Writeback bool
	// BlockSize and PhysicalBlock are the smallest unit that can be
	// addressed, and that can be written without reading, in bytes: powers
	// of two, [SectorSize] or more, the first not above the second.
	BlockSize, PhysicalBlock uint32
}

// physicalExponent is log2 of the number of blocks in a physical block.
func (i *Info) physicalExponent() byte {
	return byte(bits.TrailingZeros32(i.PhysicalBlock / i.BlockSize))
}

// An Engine does a queue's operations. It belongs to one goroutine, and does not
// call back.
type Engine interface {
	// Start begins op, and reports whether it is done already. Until it is,
	// op belongs to the engine.
	Start(op *Op) (done bool)
	// Submit sees to it that all that was begun is under way, or done already.
	Submit()
	// Done returns an operation that has been done since Start, nil if
	// there is none now. It is asked until then after each Submit, and
	// once more before the doorbell is waited for.
	Done() *Op
	// Close waits until nothing is under way and ends the engine. Done has
	// nothing to say then.
	Close() error
}

// An Op is an operation on an image.
type Op struct {
	Kind OpKind
	Slot int // which of the queue's operations it is, below the engine's depth
	// Off and Len are a range of bytes within the image, in whole sectors.
	Off, Len int64
	// Data is Len bytes of guest memory in at most depth pieces, to read to
	// or to write from. The guest may change it at any time.
	Data [][]byte
	// Durable is of writes and zeroes: they are done when they would outlast
	// a crash of the host.
	Durable bool
	// Unmap is of zeroes: the image may get smaller by them.
	Unmap bool

	// Err is, when the operation is done, why it failed. It is an
	// errors.ErrUnsupported if the image cannot do it at all.
	Err error
}

// An OpKind says what an operation does.
type OpKind int

const (
	Read        OpKind = iota // fill Data from the range
	Write                     // put Data into the range
	Flush                     // make what was written before durable
	Discard                   // the range is not needed: it reads as anything
	WriteZeroes               // the range reads as zeros
)
