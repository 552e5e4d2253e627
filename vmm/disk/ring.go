package disk

import (
	"errors"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
	"microvm/vmm/disk/uring"
)

// usesRing reports whether engines use io_uring, which a kernel may not have, or
// not let us have.
func usesRing(kind EngineKind) (bool, error) {
	if kind == EnginePool {
		return false, nil
	}
	err := tryRing()
	if err != nil && kind == EngineRing {
		return false, err
	}
	return err == nil, nil
}

func tryRing() error {
	doorbell, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(doorbell)
	r, err := uring.New(1, doorbell)
	if err != nil {
		return err
	}
	return r.Close()
}

// A ringEngine is an engine that has the kernel do reads, writes and flushes of
// a file, and leaves what else there is to a pool.
type ringEngine struct {
	*pool
	file *file
	ring *uring.Ring

	ops     []*block.Op // under way in the ring, by slot
	vectors []scratch   // their memory
	begun   []*block.Op // since the last Submit, in order
}

func newRingEngine(f *file, p *pool, depth, doorbell int) (*ringEngine, error) {
	r, err := uring.New(depth, doorbell)
	if err != nil {
		return nil, err
	}
	return &ringEngine{pool: p, file: f, ring: r, ops: make([]*block.Op, depth), vectors: make([]scratch, depth)}, nil
}

// Start implements block.Engine.
func (e *ringEngine) Start(op *block.Op) bool {
	if e.file.quick(op, &e.scratch) {
		return true
	}
	tag := uint64(op.Slot)
	switch op.Kind {
	case block.Read:
		v := e.vectors[op.Slot].vector(op.Data)
		e.ring.Readv(tag, e.file.target(op, v), v, op.Off)
	case block.Write:
		v := e.vectors[op.Slot].vector(op.Data)
		e.ring.Writev(tag, e.file.target(op, v), v, op.Off, e.file.flags(op))
	case block.Flush:
		e.ring.Fdatasync(tag, e.file.fd)
	default:
		e.begin(op)
		return false
	}
	e.ops[op.Slot] = op
	e.begun = append(e.begun, op)
	return false
}

// Submit implements block.Engine. What the kernel does not take, for want of
// memory, the pool does.
func (e *ringEngine) Submit() {
	if len(e.begun) == 0 {
		return
	}
	n, _ := e.ring.Submit()
	for _, op := range e.begun[n:] {
		e.begin(op)
	}
	e.begun = e.begun[:0]
}

// Done implements block.Engine.
func (e *ringEngine) Done() *block.Op {
	for {
		result, ok := e.ring.Next()
		if !ok {
			return e.pool.Done()
		}
		op := e.ops[result.Tag]
		if e.whole(op, result) {
			op.Err = result.Err
			return op
		}
		e.begin(op)
	}
}

// whole reports whether op has come to its end. If it has not, because the
// file has, or a signal or a lack of memory came between, it is done again, by
// who goes on until there is an end or an error.
func (e *ringEngine) whole(op *block.Op, r uring.Result) bool {
	switch {
	case errors.Is(r.Err, unix.EINTR), errors.Is(r.Err, unix.EAGAIN):
		return false
	case r.Err != nil || op.Kind == block.Flush:
		return true
	}
	return int64(r.Bytes) == op.Len
}

// Close implements block.Engine.
func (e *ringEngine) Close() error { return errors.Join(e.ring.Close(), e.pool.Close()) }
