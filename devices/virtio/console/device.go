// Package console is the virtio console device (virtio-v1.2 §5.3): a console,
// which is port 0, and generic ports with names, by which programs of the guest
// and of the host talk.
//
//	host                                     guest
//	Port.Write ── waits for ── receiveq ───> hvc0, /dev/vport0p1
//	Port.Read <── outLimit <── transmitq ─── hvc0, /dev/vport0p1
//	Resize ────── configuration or RESIZE ─> the terminal's size, SIGWINCH
//
// Nothing is lost in either direction: what the guest sends stays in its own
// memory while outLimit bytes wait for Read, and Write keeps its caller waiting
// for a guest that does not read. Linux writes to hvc0 with a processor that
// spins until the device has taken the buffer, so that a reader who stalls
// stalls that processor, but loses nothing.
//
// # One port or many
//
// MULTIPORT is offered only if there are generic ports. A console alone then
// costs a guest no control messages at its start, and is told of its size by
// the configuration space. In the RESIZE message some versions of Linux take
// columns for rows (the driver did so from its beginning, was changed, and
// changed back); this device sends what the specification says.
package console

import (
	"context"
	"fmt"
	"sync"

	"microvm/devices/virtio"
)

const (
	// MaxPorts bounds the ports of a device, each of which has two queues.
	MaxPorts = (virtio.MaxQueues - 2) / 2
	// dataQueueSize is the size of a port's queues. Linux fills a receiveq
	// with a page for each entry.
	dataQueueSize = 64
	// controlQueueSize is enough for a burst of messages for some ports;
	// those for which there is no buffer wait.
	controlQueueSize = 32
)

// A Device is a console device.
type Device struct {
	ports   []*Port
	changed func() // tells the driver that the configuration has changed

	mu            sync.Mutex // guards what is below; no other lock is taken under it
	columns, rows uint16
	session       *session // nil while the device does not run
}

// New returns a console, and a generic port for each name. It fails if there are
// more than [MaxPorts] in all.
func New(names ...string) (*Device, error) {
	if 1+len(names) > MaxPorts {
		return nil, fmt.Errorf("console: %d ports; there can be %d, the console's among them", 1+len(names), MaxPorts)
	}
	d := &Device{ports: []*Port{newPort("")}, changed: func() {}}
	for _, name := range names {
		d.ports = append(d.ports, newPort(name))
	}
	return d, nil
}

// Console is port 0, which Linux calls hvc0.
func (d *Device) Console() *Port { return d.ports[0] }

// Port is the generic port of that name, nil if there is none.
func (d *Device) Port(name string) *Port {
	for _, p := range d.ports[1:] {
		if p.name == name {
			return p
		}
	}
	return nil
}

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDConsole }

// Features implements virtio.Device.
func (d *Device) Features() virtio.Features {
	f := featureSize | featureEmergWrite
	if len(d.ports) > 1 {
		f |= featureMultiport
	}
	return f
}

// QueueSizes implements virtio.Device.
func (d *Device) QueueSizes() []uint16 {
	sizes := []uint16{dataQueueSize, dataQueueSize}
	if len(d.ports) == 1 {
		return sizes
	}
	sizes = append(sizes, controlQueueSize, controlQueueSize)
	for range d.ports[1:] {
		sizes = append(sizes, dataQueueSize, dataQueueSize)
	}
	return sizes
}

// Spins implements virtio.Spinner. Linux's driver waits in a loop for the device to
// take what it writes, to each of the transmit queues.
func (d *Device) Spins(queue int) bool { return queue%2 == 1 }

// AppendConfig implements virtio.Device.
func (d *Device) AppendConfig(b []byte) []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	b = le.AppendUint16(b, d.columns)
	b = le.AppendUint16(b, d.rows)
	b = le.AppendUint32(b, uint32(len(d.ports)))
	return le.AppendUint32(b, 0) // emerg_wr is there to be written
}

// WriteConfig implements virtio.ConfigWriter: the lower byte of emerg_wr is
// output, whatever state the device is in (virtio-v1.2 §5.3.5.1).
func (d *Device) WriteConfig(off int, p []byte) {
	if i := configEmergWr - off; i >= 0 && i < len(p) {
		d.Console().emergency(p[i])
	}
}

// Resize tells the guest that its console's terminal has another size in
// characters.
func (d *Device) Resize(columns, rows uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.columns == columns && d.rows == rows {
		return
	}
	d.columns, d.rows = columns, rows
	d.changed()
	if d.session != nil {
		d.session.tellSize()
	}
}

// OnConfigChange implements virtio.ConfigChanger.
func (d *Device) OnConfigChange(changed func()) { d.changed = changed }

// Describe implements virtio.Describer.
func (d *Device) Describe() []virtio.Property {
	var list []virtio.Property
	for i, p := range d.ports {
		of, c := "", p.Counts()
		if i > 0 {
			of = p.name + ": "
		}
		list = append(list,
			virtio.Property{Name: of + "bytes in", Value: c.In},
			virtio.Property{Name: of + "bytes out", Value: c.Out})
	}
	return list
}

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, vs *virtio.Session) error {
	s := d.begin(vs)
	defer d.end()
	tasks := []func(context.Context) error{func(ctx context.Context) error {
		<-ctx.Done() // by a reset, or because a task has failed
		s.wake()
		return ctx.Err()
	}}
	run := func(queue int, task func(context.Context, *virtio.Queue) error) {
		tasks = append(tasks, func(ctx context.Context) error { return task(ctx, vs.Queues[queue]) })
	}
	if s.multiport {
		run(queueControlReceive, s.speak)
		run(queueControlTransmit, s.listen)
	}
	for i, p := range s.ports {
		receive, transmit := queuesOf(i)
		run(receive, p.receive)
		run(transmit, p.transmit)
	}
	return vs.Serve(ctx, tasks...)
}
