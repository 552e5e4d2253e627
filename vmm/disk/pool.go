package disk

import (
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
)

// maxWorkers bounds the goroutines of a queue, each of which holds a thread
// while the host's kernel works. Disks have seldom use for more at a time.
const maxWorkers = 16

// A pool is an engine that does by goroutines what may take long. They are
// started when there is work for them.
type pool struct {
	storage
	doorbell int

	jobs, done chan *block.Op // with room for all
	scratch    scratch        // of the queue's goroutine
	started    int            // workers
	underWay   atomic.Int32   // operations that workers do or will do
	workers    sync.WaitGroup
}

func newPool(s storage, depth, doorbell int) *pool {
	return &pool{storage: s, doorbell: doorbell, jobs: make(chan *block.Op, depth), done: make(chan *block.Op, depth)}
}

// Start implements block.Engine.
func (p *pool) Start(op *block.Op) bool {
	if p.quick(op, &p.scratch) {
		return true
	}
	p.begin(op)
	return false
}

// begin has a worker do op.
func (p *pool) begin(op *block.Op) {
	if n := int(p.underWay.Add(1)); n > p.started && p.started < maxWorkers {
		p.started++
		p.workers.Go(p.work)
	}
	p.jobs <- op
}

func (p *pool) work() {
	var s scratch
	for op := range p.jobs {
		op.Err = p.do(op, &s)
		p.underWay.Add(-1)
		p.done <- op
		ring(p.doorbell)
	}
}

// one is what is written to an eventfd to add 1.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// ring adds to an eventfd. It cannot fail: the counter, which the queue's
// goroutine takes back to zero, does not come near its limit.
func ring(eventfd int) {
	for {
		if _, err := unix.Write(eventfd, one); !errors.Is(err, unix.EINTR) {
			return
		}
	}
}

// Submit implements block.Engine.
func (p *pool) Submit() {}

// Done implements block.Engine.
func (p *pool) Done() *block.Op {
	select {
	case op := <-p.done:
		return op
	default:
		return nil
	}
}

// Close implements block.Engine.
func (p *pool) Close() error {
	close(p.jobs)
	p.workers.Wait()
	return nil
}
