// Package balloon is the traditional memory balloon device (virtio-v1.2 §5.5):
// it gives memory that a guest does not need back to the host.
//
//	          target (SetTarget)
//	host ──────────────────────────> driver takes pages from its guest
//	     <── inflateq: their numbers ──
//	     madvise: the host has the memory again
//	     <── deflateq: it uses them again ──   (a page comes back when it is touched)
//	     <── reporting_vq: ranges that are free just now ──
//	     <── statsq: how its memory is used ──
//
// # Features
//
// MUST_TELL_HOST is not offered: a page that the guest takes back is faulted in
// anew, whether the device has been told or not.
//
// PAGE_POISON is not offered: a page that was released reads as zero, or as the
// kernel's or the initial RAM disk's file that was mapped there. A driver whose
// guest relies on what is in free pages must then leave PAGE_REPORTING alone
// (virtio-v1.2 §5.5.3.1), and Linux's does.
//
// FREE_PAGE_HINT is not offered: it is for migration.
package balloon

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"

	"microvm/devices/virtio"
)

// Options say what a balloon offers.
type Options struct {
	Target       uint64 // bytes that the guest is asked to give up at first
	Reporting    bool   // the driver may report free pages
	DeflateOnOOM bool   // the driver may take pages back when its guest runs out of memory
}

// A Device is a memory balloon.
type Device struct {
	features virtio.Features
	released atomic.Uint64 // bytes of inflate requests, over all sessions
	reported atomic.Uint64 // bytes of reports

	changed func() // tells the driver that the configuration has changed

	mu       sync.Mutex
	numPages uint32 // guarded by mu, as all below: the target
	actual   uint32 // what the driver says is in the balloon
	stats    statistics
}

// New returns a balloon. It fails if o.Target is none that SetTarget takes.
func New(o Options) (*Device, error) {
	d := &Device{features: FeatureStatsVQ, changed: func() {}}
	if o.Reporting {
		d.features |= FeaturePageReporting
	}
	if o.DeflateOnOOM {
		d.features |= FeatureDeflateOnOOM
	}
	d.stats.wake()
	if err := d.SetTarget(o.Target); err != nil {
		return nil, err
	}
	return d, nil
}

// SetTarget asks the driver to have so many bytes in the balloon, rounded down
// to pages. It does not wait for that: a driver does it as far as its guest can
// spare them, now, later or never. It fails if there are 2^32 pages or more, for which
// num_pages has no room (virtio-v1.2 §5.5.4).
func (d *Device) SetTarget(bytes uint64) error {
	pages := bytes / PageSize
	if pages > math.MaxUint32 {
		return fmt.Errorf("balloon: a target of %d bytes; it can have 2^32-1 pages of %d bytes", bytes, PageSize)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.numPages = uint32(pages)
	d.changed()
	return nil
}

// OnConfigChange implements virtio.ConfigChanger.
func (d *Device) OnConfigChange(changed func()) { d.changed = changed }

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDBalloon }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features { return d.features }

// queueSize is enough for any driver known: Linux has one request at a time in
// each queue, and wants room for 32 ranges in a report.
const queueSize = 64

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, numQueues)
	for i := range sizes {
		sizes[i] = queueSize
	}
	if d.features&FeaturePageReporting == 0 {
		return sizes[:statsQ+1]
	}
	return sizes
}

// AppendConfig implements virtio.Device.
func (d *Device) AppendConfig(b []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return appendConfig(b, d.numPages, d.actual)
}

// WriteConfig implements virtio.ConfigWriter: actual is the driver's to write,
// as a whole (virtio-v1.2 §4.2.2.2).
func (d *Device) WriteConfig(off int, p []byte) {
	if off != configActual || len(p) != fieldSize {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actual = le.Uint32(p)
}

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, s *virtio.Session) error {
	d.begin(s)
	defer d.end()
	var tasks []func(context.Context) error
	serve := func(q *virtio.Queue, handle handler) {
		tasks = append(tasks, func(ctx context.Context) error { return answer(ctx, s, q, handle) })
	}
	serve(s.Queues[inflateQ], d.inflate)
	serve(s.Queues[deflateQ], d.deflate)
	if q := reportingQueue(s); q != nil {
		serve(q, d.report)
	}
	if q := statsQueue(s); q != nil {
		tasks = append(tasks, func(ctx context.Context) error { return d.serveStats(ctx, q) })
	}
	return s.Serve(ctx, tasks...)
}

func (d *Device) begin(s *virtio.Session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.queue = statsQueue(s)
}

func (d *Device) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.actual = 0 // the reset gives all back
	d.stats.queue = nil
	d.stats.wake()
}

// statsQueue is the session's statsq, nil if it has none.
func statsQueue(s *virtio.Session) *virtio.Queue {
	if !s.Has(FeatureStatsVQ) {
		return nil
	}
	return s.Queues[statsQ]
}

// reportingQueue is the session's reporting_vq, nil if it has none. It has
// number 4, but Linux leaves no gap for queues that do not exist.
func reportingQueue(s *virtio.Session) *virtio.Queue {
	switch {
	case !s.Has(FeaturePageReporting):
		return nil
	case s.Queues[reportingQ].Size() > 0:
		return s.Queues[reportingQ]
	case s.Has(FeatureStatsVQ):
		return s.Queues[statsQ+1]
	}
	return s.Queues[statsQ]
}

// Describe implements virtio.Describer.
func (d *Device) Describe() []virtio.Property {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]virtio.Property{
		{Name: "target bytes", Value: uint64(d.numPages) * PageSize},
		{Name: "balloon bytes", Value: uint64(d.actual) * PageSize},
		{Name: "bytes released by inflation", Value: d.released.Load()},
		{Name: "bytes released by reports", Value: d.reported.Load()},
	}, d.stats.describe()...)
}
