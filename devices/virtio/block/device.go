// Package block is the virtio block device (virtio-v1.2 §5.2): a disk.
//
//	one goroutine a queue
//	─────────────────────
//	Pop ──> parse ──> Engine.Start ──┬─ done at once ──────────────┐
//	                                 └─ later: the doorbell rings, │
//	                                    Engine.Done ───────────────┴──> answer, Push
//
// A goroutine takes all that the driver has put into its queue, starts it,
// answers what is done, and shows the driver the answers at once, with one
// interrupt. Then it waits for the doorbell, which both the driver and the
// engine ring. So a queue needs no lock, and at rest costs nothing.
//
// Where an image comes from and how it does its work is the business of who
// implements [Image] and [Engine].
package block

import (
	"context"
	"fmt"
	"sync/atomic"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

const (
	// MaxQueues bounds the queues of a disk, each of which costs a thread
	// while it is used. More than a few do not make one file faster.
	MaxQueues = 8
	// queueSize is the number of requests that a queue has under way at
	// most, if each is an indirect chain as Linux's are.
	queueSize = 256
	// segMax is the number of pieces that a request's data may have. With
	// its header and its status it fills the queue.
	segMax = queueSize - 2
	// sizeMax is the largest piece in bytes. It bounds the work of one
	// request to a quarter of a GiB; Linux makes requests of 1280 KiB.
	sizeMax = 1 << 20
	// maxDiscardSectors is 2 GiB: how much a file system gives back in one
	// call, for which it does not touch the data.
	maxDiscardSectors = 2 << 30 / SectorSize
	// maxZeroesSectors is 64 MiB, for an image that can only be zeroed by
	// writing.
	maxZeroesSectors = 64 << 20 / SectorSize
)

// A Device is a disk.
type Device struct {
	image  Image
	info   Info
	id     [MaxID]byte
	queues int

	writeback atomic.Bool // the configuration space's field
	counts    counts
}

// New returns a disk of image, which is closed with it, with the serial number
// id and a number of queues. It fails, and leaves the image open, if id has more than
// [MaxID] bytes or if queues is not from 1 to [MaxQueues].
func New(image Image, id string, queues int) (*Device, error) {
	if len(id) > MaxID {
		return nil, fmt.Errorf("block: the serial number %q has %d bytes; it can have %d", id, len(id), MaxID)
	}
	if queues < 1 || queues > MaxQueues {
		return nil, fmt.Errorf("block: %d queues; there can be 1 to %d", queues, MaxQueues)
	}
	d := &Device{image: image, info: image.Info(), queues: queues}
	copy(d.id[:], id)
	d.writeback.Store(d.info.Writeback)
	return d, nil
}

// Close closes the image. The device's transport has stopped.
func (d *Device) Close() error { return d.image.Close() }

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDBlock }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	f := featureSizeMax | featureSegMax | featureBlkSize | featureTopology | featureFlush | featureConfigWCE
	if d.info.ReadOnly {
		f |= featureRO
	} else {
		f |= featureDiscard | featureWriteZeroes
	}
	if d.queues > 1 {
		f |= featureMQ
	}
	return f
}

// CheckFeatures implements virtio.FeatureChecker. All combinations are right;
// each negotiation begins with the image's own kind of caching. "If
// VIRTIO_BLK_F_CONFIG_WCE is negotiated but VIRTIO_BLK_F_FLUSH is not, the
// device MUST initialize writeback to 0" (virtio-v1.2 §5.2.5.2).
func (d *Device) CheckFeatures(f virtio.Features) error {
	d.writeback.Store(d.info.Writeback && f&featureFlush != 0)
	return nil
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, d.queues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// AppendConfig implements virtio.Device.
func (d *Device) AppendConfig(b []byte) []byte { return d.appendConfig(b) }

// WriteConfig implements virtio.ConfigWriter. Only writeback can be written.
func (d *Device) WriteConfig(off int, p []byte) {
	if i := offWriteback - off; i >= 0 && i < len(p) {
		d.writeback.Store(p[i] != 0)
	}
}

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, s *virtio.Session) error {
	var tasks []func(context.Context) error
	for _, q := range s.Queues {
		if q.Size() > 0 { // a driver need not use all
			tasks = append(tasks, func(ctx context.Context) error { return d.serve(ctx, s, q) })
		}
	}
	return s.Serve(ctx, tasks...)
}

// A worker serves a queue.
type worker struct {
	*Device
	session *virtio.Session
	queue   *virtio.Queue
	engine  Engine
	limits  limits

	requests []request
	free     []*request  // of requests
	extra    virtq.Chain // never filled: see take
	pushed   bool        // since the last Publish
}

// serve serves q until ctx is done. It never returns nil.
func (d *Device) serve(ctx context.Context, s *virtio.Session, q *virtio.Queue) (err error) {
	q.Patient()
	w := &worker{Device: d, session: s, queue: q, requests: make([]request, q.Size())}
	w.limits = limits{Info: d.info, id: d.id, discard: s.Has(featureDiscard), zeroes: s.Has(featureWriteZeroes)}
	for i := range w.requests {
		w.requests[i].op.Slot = i
		w.free = append(w.free, &w.requests[i])
	}
	if w.engine, err = d.image.NewEngine(q.Size(), q.Doorbell()); err != nil {
		return err
	}
	err = w.run(ctx)
	if closeErr := w.engine.Close(); closeErr != nil {
		return closeErr
	}
	return err
}

// run is the worker's loop: what there is to take and to give back, until there
// is neither. So it looks at the engine twice between what it has submitted and its
// wait for the doorbell, as engines need it.
func (w *worker) run(ctx context.Context) error {
	for {
		took, err := w.take()
		w.engine.Submit()
		gave := w.give()
		if w.pushed {
			w.pushed = false
			w.queue.Publish()
		}
		if err != nil {
			return err
		}
		if took || gave {
			err = ctx.Err()
		} else {
			err = w.queue.Wait(ctx)
		}
		if err != nil {
			return err
		}
	}
}

// take starts the requests that are in the queue, and reports whether there was
// one. It takes no more than the queue has room for: a driver that goes on as fast
// as it is served gets its answers, and its reset, in between.
func (w *worker) take() (took bool, err error) {
	for range w.requests {
		if len(w.free) == 0 {
			break
		}
		r := w.free[len(w.free)-1]
		if ok, err := w.queue.Pop(&r.chain); !ok {
			return took, err
		}
		took = true
		w.free = w.free[:len(w.free)-1]
		w.limits.durable = w.mustBeDurable() // as writeback is now: the driver may set it before any request
		s, start, err := r.parse(&w.limits)
		if err != nil {
			return took, err
		}
		if !start {
			w.finish(r, s)
		} else if w.engine.Start(&r.op) {
			w.finish(r, r.result())
		}
	}
	if len(w.free) == 0 {
		// So many chains are under way that the queue has only an error to
		// give: if the driver has put another in, Wait would not wait.
		_, err = w.queue.Pop(&w.extra)
	}
	return took, err
}

// mustBeDurable reports whether a write is to be durable when it is done: if the
// driver does not flush, or wants it so (virtio-v1.2 §5.2.6.2).
func (w *worker) mustBeDurable() bool {
	switch {
	case !w.session.Has(featureFlush):
		return true
	case w.session.Has(featureConfigWCE):
		return !w.writeback.Load()
	}
	return !w.info.Writeback
}

// give answers the requests whose operations are done, and reports whether
// there was one.
func (w *worker) give() (gave bool) {
	for op := w.engine.Done(); op != nil; op = w.engine.Done() {
		r := &w.requests[op.Slot]
		w.finish(r, r.result())
		gave = true
	}
	return gave
}

// finish gives a request back to the driver.
func (w *worker) finish(r *request, s status) {
	w.counts.add(r, s)
	w.queue.Push(&r.chain, r.answer(s))
	w.pushed = true
	w.free = append(w.free, r)
}
