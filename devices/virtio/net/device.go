package net

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"

	"microvm/devices"
	"microvm/devices/virtio"
)

var le = binary.LittleEndian

// queueSize is the number of a queue's entries. A driver whose receive buffers
// are as small as Linux's, 1.5 KiB, has room for six of the largest frames; and
// a chain is less than the pieces that one system call takes.
const queueSize = 256

// Options say what device to make.
type Options struct {
	MAC net.HardwareAddr // 6 bytes
	MTU uint16           // from MinMTU to MaxMTU; 0 for none said, when a driver takes 1500
}

// A Device is a network device.
type Device struct {
	Options
	backend Backend
	pairs   int

	changed  func() // tells the driver that the configuration has changed
	linkDown atomic.Bool
	sent     counter
	received counter
}

// A counter counts the frames of one direction.
type counter struct{ frames, bytes, dropped atomic.Uint64 }

func (c *counter) add(bytes int) {
	c.frames.Add(1)
	c.bytes.Add(uint64(bytes))
}

// New returns a network device at the end of b, with its link up.
func New(o Options, b Backend) *Device {
	return &Device{Options: o, backend: b, pairs: b.Pairs(), changed: func() {}}
}

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDNet }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	f := FeatureMAC | FeatureStatus | FeatureMrgRxbuf | FeatureCtrlVQ | FeatureCtrlGuestOffloads
	if d.MTU != 0 {
		f |= FeatureMTU
	}
	if d.pairs > 1 {
		f |= FeatureMQ
	}
	o := d.backend.Offloads()
	for _, b := range offloadBits {
		if *b.of(&o) {
			f |= b.host | b.guest
		}
	}
	return f
}

// offloadBits say by which features an offload is negotiated.
var offloadBits = []struct {
	of          func(*Offloads) *bool
	host, guest virtio.Features // of frames from the guest, of frames to it
}{
	{func(o *Offloads) *bool { return &o.Checksum }, FeatureCsum, FeatureGuestCsum},
	{func(o *Offloads) *bool { return &o.TSO4 }, FeatureHostTSO4, FeatureGuestTSO4},
	{func(o *Offloads) *bool { return &o.TSO6 }, FeatureHostTSO6, FeatureGuestTSO6},
	{func(o *Offloads) *bool { return &o.ECN }, FeatureHostECN, FeatureGuestECN},
}

// offloads are those that features stand for: of frames from the guest, and of
// frames to it.
func offloads(f virtio.Features) (host, guest Offloads) {
	for _, b := range offloadBits {
		*b.of(&host) = f&b.host != 0
		*b.of(&guest) = f&b.guest != 0
	}
	return host, guest
}

// requirements are the features that need others (virtio-v1.2 §5.1.3.1): any
// of those in needs. The last is not in the specification's list, but its
// commands have no other way.
var requirements = []struct {
	feature, needs virtio.Features
	text           string
}{
	{FeatureGuestTSO4, FeatureGuestCsum, "GUEST_TSO4 without GUEST_CSUM"},
	{FeatureGuestTSO6, FeatureGuestCsum, "GUEST_TSO6 without GUEST_CSUM"},
	{FeatureGuestECN, FeatureGuestTSO4 | FeatureGuestTSO6, "GUEST_ECN without GUEST_TSO4 or GUEST_TSO6"},
	{FeatureHostTSO4, FeatureCsum, "HOST_TSO4 without CSUM"},
	{FeatureHostTSO6, FeatureCsum, "HOST_TSO6 without CSUM"},
	{FeatureHostECN, FeatureHostTSO4 | FeatureHostTSO6, "HOST_ECN without HOST_TSO4 or HOST_TSO6"},
	{FeatureMQ, FeatureCtrlVQ, "MQ without CTRL_VQ"},
	{FeatureCtrlGuestOffloads, FeatureCtrlVQ, "CTRL_GUEST_OFFLOADS without CTRL_VQ"},
}

// CheckFeatures implements virtio.FeatureChecker.
func (*Device) CheckFeatures(f virtio.Features) error {
	for _, r := range requirements {
		if f&r.feature != 0 && f&r.needs == 0 {
			return broken("virtio-v1.2 §5.1.3.1", "the driver accepts %s", r.text)
		}
	}
	return nil
}

func broken(rule, format string, args ...any) *devices.GuestError {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// QueueSizes implements virtio.Device: for each pair a queue to receive and one
// to transmit, then the control queue (virtio-v1.2 §5.1.2).
func (d *Device) QueueSizes() []uint16 {
	sizes := make([]uint16, 2*d.pairs+1)
	for i := range sizes {
		sizes[i] = queueSize
	}
	return sizes
}

// AppendConfig implements virtio.Device.
func (d *Device) AppendConfig(b []byte) []byte {
	var c [configSize]byte
	copy(c[configMAC:], d.MAC)
	if !d.linkDown.Load() {
		le.PutUint16(c[configStatus:], statusLinkUp)
	}
	le.PutUint16(c[configMaxPairs:], uint16(d.pairs))
	le.PutUint16(c[configMTU:], d.MTU)
	return append(b, c[:]...)
}

// SetLink plugs the cable in or pulls it out: no frames are carried while it is
// out, and the driver is told.
func (d *Device) SetLink(up bool) error {
	if d.linkDown.Swap(!up) == !up {
		return nil // it was so already
	}
	if server, ok := d.backend.(Server); ok {
		if err := server.SetLink(up); err != nil {
			return err
		}
	}
	d.changed()
	return nil
}

// OnConfigChange implements virtio.ConfigChanger.
func (d *Device) OnConfigChange(changed func()) { d.changed = changed }

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, s *virtio.Session) error {
	pairs := 1 // "N=1 if ... VIRTIO_NET_F_MQ [is not] negotiated" (virtio-v1.2 §5.1.2)
	if s.Has(FeatureMQ) {
		pairs = d.pairs
	}
	host, guest := offloads(s.Features)
	if err := d.backend.SetOffloads(guest); err != nil {
		return err
	}
	if err := d.backend.SetPairs(1); err != nil {
		return err
	}
	var tasks []func(context.Context) error
	terms := &terms{}
	terms.accepted.Store(&guest)
	terms.pairs.Store(1) // "MUST queue packets only on receiveq1" (virtio-v1.2 §5.1.6.5.6.2)
	if server, ok := d.backend.(Server); ok && server.Serves(s.Features) {
		tasks = append(tasks, func(ctx context.Context) error { return server.Serve(ctx, s, pairs) })
	} else {
		for pair := range pairs {
			r := newReceiver(d, s, pair, terms)
			t := &transmitter{device: d, queue: s.Queues[2*pair+1], pair: pair, offloads: host, receiver: r}
			tasks = append(tasks, r.run, t.run)
		}
	}
	if s.Has(FeatureCtrlVQ) {
		c := &controller{device: d, session: s, queue: s.Queues[2*pairs], pairs: pairs, terms: terms}
		tasks = append(tasks, c.run)
	}
	return s.Serve(ctx, tasks...)
}

// terms are what the driver may change in the course of a session.
type terms struct {
	accepted atomic.Pointer[Offloads] // in received frames
	pairs    atomic.Int32             // on which frames are received
}

// Close closes the backend.
//
// Preconditions: Run does not run, and will not.
func (d *Device) Close() error { return d.backend.Close() }

// Describe implements virtio.Describer.
func (d *Device) Describe() []virtio.Property {
	var p []virtio.Property
	if b, ok := d.backend.(virtio.Describer); ok {
		p = b.Describe()
	}
	return append(p,
		virtio.Property{Name: "mac", Value: d.MAC.String()},
		virtio.Property{Name: "link up", Value: !d.linkDown.Load()},
		virtio.Property{Name: "frames sent", Value: d.sent.frames.Load()},
		virtio.Property{Name: "bytes sent", Value: d.sent.bytes.Load()},
		virtio.Property{Name: "frames received", Value: d.received.frames.Load()},
		virtio.Property{Name: "bytes received", Value: d.received.bytes.Load()},
		virtio.Property{Name: "frames dropped on the way in", Value: d.received.dropped.Load()},
		virtio.Property{Name: "frames dropped on the way out", Value: d.sent.dropped.Load()},
	)
}
