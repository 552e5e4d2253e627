package virtio

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"microvm/devices"
	"microvm/devices/eventfd"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

// Options are what a device's transport is wired to.
type Options struct {
	Name      string // of the device, unique in the machine: "disk0"
	Memory    *guestmem.Memory
	Packed    bool         // offer packed virtqueues as well as split ones
	Page      *Page        // from which the driver reads registers, or nil
	Interrupt func() error // an edge on the device's interrupt line
	// KernelInterrupts returns an eventfd that does the same, and from now on
	// may, for a kernel interface that interrupts the driver itself.
	KernelInterrupts func() int
	Fail             func(error) // ends the machine: the host has failed
	Trace            *Trace      // hooks, nil for none
}

// A control is a device as the driver configures it, whatever the transport.
type control struct {
	Options
	dev       Device
	offered   Features
	doorbells []eventfd.FD // one a queue, for the control's life
	spins     []bool       // of each queue: see Spinner

	// The interrupt status, in two parts: reasons that the driver has not
	// read yet, and those that it has read and not acknowledged. An
	// acknowledgement is only of what was read, so that it may arrive late
	// and not take a newer reason with it.
	fresh, read atomic.Uint32

	lasting  atomic.Uint32 // what of it stays when it is acknowledged
	counts   []queueCounts // one a queue
	sessions atomic.Uint64
	running  sync.WaitGroup // goroutines of sessions

	mu       sync.Mutex
	status   Status // guarded by mu, as all below
	accepted Features
	queues   []queueSetup
	session  *running // nil unless the device runs
	stopped  bool     // the machine has ended: no session begins
	settled  Features // what the driver accepted last, with success
	refused  error    // what was wrong with the features the driver wanted last
	errors   uint64   // rules that the driver has broken
	lastErr  error

	config     []byte // the configuration space as the driver was last shown it
	scratch    []byte // of refreshConfig
	generation uint32
	known      uint32 // the generation when the driver reset the device

	tellMu sync.Mutex // guards tells; taken after a device's locks, under which it tells of changes
	tells  bool       // the driver has set DRIVER_OK: it is told of changes of the configuration

	pageMu     sync.Mutex // guards the interrupt status in Page, and these; taken last
	showsPage  bool       // Page may be in its place
	pageMapped bool       // and is
}

// A queueSetup is what the driver has said of a queue.
type queueSetup struct {
	max   uint16
	ready bool
	virtq.Config
}

// A running is a session with the goroutine that runs it.
type running struct {
	cancel context.CancelFunc
	done   chan struct{} // closed when Run has returned
}

func newControl(dev Device, o Options) (*control, error) {
	sizes := dev.QueueSizes()
	c := &control{Options: o, dev: dev, offered: dev.Features() | ringFeatures}
	if c.Packed {
		c.offered |= FeatureRingPacked
	}
	if c.Trace == nil {
		c.Trace = &Trace{}
	}
	c.config = dev.AppendConfig(nil)
	if changer, ok := dev.(ConfigChanger); ok {
		changer.OnConfigChange(c.configChanged)
	}
	if len(sizes) > MaxQueues || len(c.config) > MaxConfig {
		return nil, fmt.Errorf("%s: %d queues and %d bytes of configuration; at most %d and %d are possible",
			o.Name, len(sizes), len(c.config), MaxQueues, MaxConfig)
	}
	c.counts = make([]queueCounts, len(sizes))
	spinner, _ := dev.(Spinner)
	for i, size := range sizes {
		c.spins = append(c.spins, spinner != nil && spinner.Spins(i))
		bell, err := eventfd.New()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", o.Name, err), c.close())
		}
		c.doorbells = append(c.doorbells, bell)
		c.queues = append(c.queues, queueSetup{max: size})
	}
	return c, nil
}

func broken(rule, format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// setStatus is the driver's write to the device status.
func (c *control) setStatus(written Status) {
	if written == 0 {
		c.reset()
		return
	}
	bits, err := c.status.added(written)
	if err != nil {
		c.violated(err)
		return
	}
	if bits&StatusFeaturesOK != 0 {
		// The bit stays clear if the device cannot work with what the
		// driver accepts; the driver reads it back (virtio-v1.2 §2.2.2, §3.1.1).
		c.refused = checkFeatures(c.dev, c.offered, c.accepted)
		if hook := c.Trace.Features; hook != nil {
			hook(c.offered, c.accepted, c.refused)
		}
		if c.refused != nil {
			bits &^= StatusFeaturesOK
		} else {
			c.settled = c.accepted
		}
	}
	c.status |= bits
	c.traceStatus(nil)
	if bits&StatusDriverOK != 0 {
		c.start()
	}
}

func (c *control) traceStatus(err error) {
	if hook := c.Trace.Status; hook != nil {
		hook(c.status, err)
	}
}

// violated notes that the driver broke a rule by a write that then has no other
// effect.
func (c *control) violated(err error) {
	c.errors++
	c.lastErr = err
	c.traceStatus(err)
}

// reset ends the session and forgets what the driver has said (virtio-v1.2
// §2.4). When it returns the device does not touch the queues any more: a
// driver may free them at once.
func (c *control) reset() {
	c.endSession()
	c.status, c.accepted = 0, 0
	for i := range c.queues {
		c.queues[i] = queueSetup{max: c.queues[i].max}
	}
	c.refreshConfig()
	c.known = c.generation
	c.tellMu.Lock()
	c.tells = false
	c.fresh.Store(0)
	c.read.Store(0)
	c.lasting.Store(0)
	c.tellMu.Unlock()
	c.traceStatus(nil)
}

// start begins a session with the queues that are ready.
func (c *control) start() {
	if c.stopped {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Session{
		Features: c.accepted, Memory: c.Memory,
		Queues: make([]*Queue, len(c.queues)),
		kernelInterrupts: func() int {
			c.lasting.Or(interruptUsedBuffer)
			c.showStatus()
			return c.KernelInterrupts()
		},
	}
	for i := range c.queues {
		var err error
		if s.Queues[i], err = c.openQueue(i); err != nil {
			cancel()
			c.breakDown(fmt.Errorf("queue %d: %w", i, err))
			return
		}
	}
	c.tellConfig()
	r := &running{cancel: cancel, done: make(chan struct{})}
	c.session = r
	c.sessions.Add(1)
	c.running.Go(func() {
		err := c.dev.Run(ctx, s)
		close(r.done)
		if err != nil && !errors.Is(err, context.Canceled) {
			c.ended(r, err)
		}
	})
}

// openQueue is queue i for a session.
func (c *control) openQueue(i int) (*Queue, error) {
	setup := &c.queues[i]
	q := &Queue{doorbell: c.doorbells[i], interrupt: c.raiseUsed, counts: &c.counts[i]}
	if !setup.ready {
		return q, nil
	}
	if setup.Size > setup.max {
		return nil, broken("virtio-v1.2 §4.2.2.2", "a queue of %d entries; the largest size is %d", setup.Size, setup.max)
	}
	setup.Indirect = c.accepted&FeatureIndirectDesc != 0
	setup.EventIdx = c.accepted&FeatureEventIdx != 0
	setup.Config.Packed = c.accepted&FeatureRingPacked != 0
	var err error
	if q.vq, err = virtq.New(c.Memory, setup.Config); err != nil {
		return nil, err
	}
	q.config = setup.Config
	if hook := c.Trace.Ring; hook != nil {
		q.trace = func(e RingEvent) { hook(i, e) }
	}
	return q, nil
}

// ended is told that the session r ended with an error of its own accord.
func (c *control) ended(r *running, err error) {
	var guest *devices.GuestError
	if !errors.As(err, &guest) {
		c.Fail(fmt.Errorf("%s: %w", c.Name, err))
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.session == r { // and not reset meanwhile
		c.breakDown(err)
	}
}

// breakDown stops the device until the driver resets it (virtio-v1.2 §2.1.2).
func (c *control) breakDown(err error) {
	c.endSession()
	c.errors++
	c.lastErr = err
	c.status |= StatusNeedsReset
	c.traceStatus(err)
	if c.status&StatusDriverOK != 0 {
		c.raise(interruptConfig)
	}
}

// endSession stops the device, if it runs, and waits for it.
func (c *control) endSession() {
	r := c.session
	if r == nil {
		return
	}
	c.session = nil
	r.cancel()
	for _, bell := range c.doorbells {
		if err := bell.Signal(); err != nil {
			c.Fail(fmt.Errorf("%s: %w", c.Name, err))
			return
		}
	}
	<-r.done
}

// stop ends the device for good, with the machine.
func (c *control) stop() {
	c.mu.Lock()
	c.stopped = true
	c.endSession()
	c.mu.Unlock()
	c.tellMu.Lock()
	c.tells = false
	c.tellMu.Unlock()
	c.running.Wait()
}

// close gives the doorbells back.
//
// Preconditions: stop has returned, or nothing was ever started.
func (c *control) close() error {
	var errs []error
	for _, bell := range c.doorbells {
		errs = append(errs, bell.Close())
	}
	c.doorbells = nil
	return errors.Join(errs...)
}

func (c *control) raiseUsed() { c.raise(interruptUsedBuffer) }

// raise interrupts the driver for a reason. The reason is there before the
// edge, and the driver clears only the reasons that it has read: none is lost.
func (c *control) raise(reason uint32) {
	c.fresh.Or(reason)
	switch {
	case c.Page == nil:
	case reason == interruptUsedBuffer:
		c.showUsed()
	default:
		c.hidePage()
	}
	if err := c.Interrupt(); err != nil {
		c.Fail(fmt.Errorf("%s: %w", c.Name, err))
	}
}

// interruptStatus is why the device interrupts (virtio-v1.2 §4.2.2
// InterruptStatus): each reason from when it arises until it is acknowledged.
func (c *control) interruptStatus() uint32 {
	c.read.Or(c.fresh.Swap(0))
	return c.read.Load() | c.lasting.Load()
}

// acknowledge is the driver's word that it deals with reasons it has read.
func (c *control) acknowledge(reasons uint32) { c.read.And(^reasons) }

// configChanged is told by the device that its configuration space is another.
func (c *control) configChanged() {
	c.tellMu.Lock()
	defer c.tellMu.Unlock()
	if c.tells {
		c.raise(interruptConfig)
	}
}

// tellConfig tells the driver of changes of the configuration space from now on;
// and at once if it has changed since the reset, for the driver may have read it
// before.
func (c *control) tellConfig() {
	c.tellMu.Lock()
	c.tells = true
	c.tellMu.Unlock()
	if c.refreshConfig(); c.generation != c.known {
		c.raise(interruptConfig)
	}
}

// refreshConfig reads the configuration space anew. If it is not as the driver
// was shown it last, the generation changes, so that a driver that reads a field
// in pieces notices (virtio-v1.2 §4.2.2.1).
func (c *control) refreshConfig() {
	c.scratch = c.dev.AppendConfig(c.scratch[:0])
	if !bytes.Equal(c.scratch, c.config) {
		c.hidePage() // not a piece from the page and another from after the change
		c.config, c.scratch = c.scratch, c.config
		c.generation++
	}
}

// wroteConfig takes what the driver has written to the configuration space for what it
// has been shown: it is no change.
func (c *control) wroteConfig(off, n int) {
	c.scratch = c.dev.AppendConfig(c.scratch[:0])
	copy(c.config[off:off+n], c.scratch[off:])
}
