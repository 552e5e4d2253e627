// Package uring is Linux's io_uring(7), as far as a disk needs it: operations on
// files that the kernel does on its own, handed over many at a time.
//
// What it is for is in the picture of two rings in memory that is shared with
// the kernel:
//
//	submission queue: 64 bytes an operation ── Submit ──> kernel
//	completion queue: 16 bytes an operation <──────────── kernel, and an eventfd
//
// The names are those of linux/io_uring.h.
package uring

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// A Ring is a pair of rings. It belongs to one goroutine.
type Ring struct {
	fd      int
	mapped  [][]byte // rings, entries
	entries []sqe    // of the submission queue
	results []cqe    // of the completion queue

	sqHead, sqTail *atomic.Uint32 // the kernel's and ours
	cqHead, cqTail *atomic.Uint32 // ours and the kernel's
	cqFlags        *atomic.Uint32 // ours

	tail     uint32 // of the submission queue, with what is not submitted yet
	underWay int    // operations submitted and not yet returned by Next
}

// A Result is what became of an operation.
type Result struct {
	Tag   uint64 // as it was begun with
	Bytes int    // transferred
	Err   error  // an errno, or nil
}

// needed are the features without which a kernel's io_uring is not used: both
// rings in one mapping, no result ever dropped, arguments that are free for
// other use after Submit, and workers that are threads of this process
// (Linux 5.12).
const needed = featSingleMmap | featNoDrop | featSubmitStable | featNativeWorkers

// New returns a ring for up to depth operations at a time. The kernel adds to
// the eventfd whenever one is done, but for what Submit finds done.
func New(depth, eventfd int) (_ *Ring, err error) {
	var p params
	r := &Ring{fd: -1}
	defer func() {
		if err != nil {
			err = fmt.Errorf("io_uring: %w", errors.Join(err, r.Close()))
		}
	}()
	if r.fd, err = setup(uint32(1)<<bits.Len(uint(depth-1)), &p); err != nil {
		return nil, err
	}
	if lacks := needed &^ p.features; lacks != 0 {
		return nil, fmt.Errorf("the kernel's is too old: it lacks features %#x", lacks)
	}
	if err := r.mmap(&p); err != nil {
		return nil, err
	}
	if err := registerEventfd(r.fd, eventfd); err != nil {
		return nil, err
	}
	return r, nil
}

// Readv begins a preadv2(2). The vector must stay as it is until Submit, and the
// memory until the result. There must be room: see New.
func (r *Ring) Readv(tag uint64, fd int, v []unix.Iovec, off int64) {
	r.push(sqe{opcode: opReadv, fd: int32(fd), off: uint64(off), addr: vectorAddr(v), len: uint32(len(v)), userData: tag})
}

// Writev begins a pwritev2(2) with flags such as RWF_DSYNC, as Readv does.
func (r *Ring) Writev(tag uint64, fd int, v []unix.Iovec, off int64, flags uint32) {
	r.push(sqe{opcode: opWritev, fd: int32(fd), off: uint64(off), addr: vectorAddr(v), len: uint32(len(v)), opFlags: flags, userData: tag})
}

// Fdatasync begins an fdatasync(2).
func (r *Ring) Fdatasync(tag uint64, fd int) {
	r.push(sqe{opcode: opFsync, fd: int32(fd), opFlags: fsyncDatasync, userData: tag})
}

// push puts an operation into the submission queue, where the kernel looks only
// during Submit.
func (r *Ring) push(e sqe) {
	if r.tail-r.sqHead.Load() >= uint32(len(r.entries)) {
		panic("uring: more operations than the ring's depth")
	}
	r.entries[r.tail&uint32(len(r.entries)-1)] = e
	r.tail++
}

// Submit hands to the kernel what was begun since the last call. If it takes
// only some of it, the rest is forgotten: the result is how many of the
// operations, in their order, are under way, and why not all.
//
// What is done when it returns, often all, is not told by the eventfd: Next has it,
// until it has no more. Who waits for the eventfd then asks Next once more before.
func (r *Ring) Submit() (n int, err error) {
	// The kernel looks at the flag when it has added a result: either it sees 0 and
	// signals, or Next, which comes after the 0, sees the result. But it has no
	// barrier in between (linux io_uring.c, io_commit_cqring), so that a worker's
	// result may show up a moment late.
	r.cqFlags.Store(cqEventfdDisabled)
	defer r.cqFlags.Store(0)
	begun := r.sqTail.Load()
	r.sqTail.Store(r.tail) // release, for the kernel's acquire
	for err == nil && r.sqHead.Load() != r.tail {
		err = enter(r.fd, r.tail-r.sqHead.Load(), 0, 0)
	}
	if err != nil { // the kernel does not look at the queue now
		r.tail = r.sqHead.Load()
		r.sqTail.Store(r.tail)
	}
	n = int(r.tail - begun)
	r.underWay += n
	return n, err
}

// Next returns the result of an operation that is done, if there is one.
func (r *Ring) Next() (Result, bool) {
	head := r.cqHead.Load()
	if head == r.cqTail.Load() { // acquire, for the kernel's release
		return Result{}, false
	}
	e := r.results[head&uint32(len(r.results)-1)]
	r.cqHead.Store(head + 1)
	r.underWay--
	if e.res < 0 {
		return Result{Tag: e.userData, Err: unix.Errno(-e.res)}, true
	}
	return Result{Tag: e.userData, Bytes: int(e.res)}, true
}

// Close waits until nothing is under way, and gives the ring back.
func (r *Ring) Close() error {
	var errs []error
	for r.underWay > 0 {
		if _, ok := r.Next(); ok {
			continue
		}
		if err := enter(r.fd, 0, 1, enterGetEvents); err != nil {
			errs = append(errs, err)
			break
		}
	}
	for _, m := range r.mapped {
		errs = append(errs, unix.Munmap(m))
	}
	if r.fd >= 0 {
		errs = append(errs, unix.Close(r.fd))
	}
	return errors.Join(errs...)
}
