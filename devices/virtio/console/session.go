package console

import (
	"context"
	"math/bits"
	"sync"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// A session is what the device keeps from a driver's DRIVER_OK to its reset.
type session struct {
	*virtio.Session
	device    *Device
	multiport bool
	ports     []*Port // those that the driver can use

	// Of the control queues, guarded by the device's mu:
	added []bool    // by port: the driver has been told that it exists, or is about to be
	owed  []events  // by port: messages to the driver
	owes  sync.Cond // owed is no longer all empty
}

// events is a set of events. However often a driver asks for a message, it is
// owed once.
type events uint16

func (d *Device) begin(vs *virtio.Session) *session {
	s := &session{Session: vs, device: d, multiport: vs.Has(featureMultiport), ports: d.ports[:1]}
	s.owes.L = &d.mu
	if s.multiport {
		s.ports = d.ports
		s.added, s.owed = make([]bool, len(d.ports)), make([]events, len(d.ports))
	} else {
		d.Console().setOpen(true) // there is no message that says so
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = s
	if d.columns != 0 && d.rows != 0 {
		d.changed() // Linux reads it only when it hears of a change
	}
	return s
}

func (d *Device) end() {
	for _, p := range d.ports {
		p.setOpen(false)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.session = nil
}

// wake makes tasks that wait for the host see that the session's context is done.
func (s *session) wake() {
	s.device.mu.Lock()
	s.owes.Broadcast()
	s.device.mu.Unlock()
	for _, p := range s.ports {
		p.wake()
	}
}

// tellSize tells the driver the console's size by a message, if there are many
// ports.
//
// Preconditions: the device's mu is held.
func (s *session) tellSize() {
	if s.multiport && s.added[0] {
		s.owe(0, eventResize)
	}
}

// owe has messages sent about a port.
//
// Preconditions: the device's mu is held.
func (s *session) owe(port int, about ...event) {
	for _, e := range about {
		s.owed[port] |= 1 << e
	}
	s.owes.Signal()
}

// listen takes the driver's messages from the control transmitq.
func (s *session) listen(ctx context.Context, q *virtio.Queue) error {
	var c virtq.Chain
	for {
		if err := nextReadable(ctx, q, &c); err != nil {
			return err
		}
		var text [controlSize]byte
		if n, _ := c.Reader.Read(text[:]); n < controlSize {
			return broken("virtio-v1.2 §5.3.6.2", "a control message of %d bytes, not %d", n, controlSize)
		}
		s.hear(parseMessage(text))
		q.Push(&c, 0)
		q.Publish()
	}
}

// hear acts on a message of the driver. No rule says what to do with a message
// about a port that the driver was not told of, or with one that only a device
// sends: they have no effect.
func (s *session) hear(m message) {
	if m.event == eventDeviceReady {
		if m.value == 1 {
			s.addPorts()
		}
		return
	}
	s.device.mu.Lock()
	known := uint64(m.port) < uint64(len(s.added)) && s.added[m.port]
	if known && m.event == eventPortReady && m.value == 1 {
		s.introduce(int(m.port))
	}
	s.device.mu.Unlock()
	if known && m.event == eventPortOpen {
		s.ports[m.port].setOpen(m.value == 1)
	}
}

// addPorts tells the driver of all ports that it has not been told of
// (virtio-v1.2 §5.3.6.2.1: a port that exists is not added again).
func (s *session) addPorts() {
	s.device.mu.Lock()
	defer s.device.mu.Unlock()
	for port, added := range s.added {
		if !added {
			s.added[port] = true
			s.owe(port, eventPortAdd)
		}
	}
}

// introduce tells the driver what kind of port it has got ready.
//
// Preconditions: the device's mu is held.
func (s *session) introduce(port int) {
	if port != 0 {
		s.owe(port, eventPortName, eventPortOpen)
		return
	}
	s.owe(port, eventConsolePort, eventPortOpen)
	if s.device.columns != 0 && s.device.rows != 0 {
		s.owe(port, eventResize)
	}
}

// speak puts messages to the driver into the control receiveq.
func (s *session) speak(ctx context.Context, q *virtio.Queue) error {
	var c virtq.Chain
	var text []byte
	for {
		m, err := s.nextOwed(ctx)
		if err != nil {
			return err
		}
		if err := nextWritable(ctx, q, &c); err != nil {
			return err
		}
		text = s.text(text[:0], m)
		if room := c.Writer.Len(); room < len(text) {
			return broken("virtio-v1.2 §5.3.6.2",
				"a control receive buffer of %d bytes, for a message of %d", room, len(text))
		}
		n, _ := c.Writer.Write(text)
		q.Push(&c, n)
		q.Publish()
	}
}

// nextOwed waits until there is a message to send, and takes it. Those about one
// port are sent in the order of their numbers, which is the one that a driver
// expects: that the port exists, that it is a console, what size it has.
func (s *session) nextOwed(ctx context.Context) (message, error) {
	s.device.mu.Lock()
	defer s.device.mu.Unlock()
	for ctx.Err() == nil {
		for port, owed := range s.owed {
			if owed != 0 {
				e := event(bits.TrailingZeros16(uint16(owed)))
				s.owed[port] &^= 1 << e
				return message{uint32(port), e, 1}, nil
			}
		}
		s.owes.Wait()
	}
	return message{}, ctx.Err()
}

// text appends m and what follows it to b.
func (s *session) text(b []byte, m message) []byte {
	b = m.append(b)
	switch m.event {
	case eventResize:
		s.device.mu.Lock()
		defer s.device.mu.Unlock()
		b = le.AppendUint16(b, s.device.columns)
		b = le.AppendUint16(b, s.device.rows)
	case eventPortName:
		b = append(b, s.ports[m.port].name...)
	}
	return b
}

// The rule of both directions: "The driver MUST NOT put a device-readable buffer
// in a receiveq. The driver MUST NOT put a device-writable buffer in a transmitq."
const ruleDirection = "virtio-v1.2 §5.3.6.1"

// nextReadable waits for the next chain in a transmitq.
func nextReadable(ctx context.Context, q *virtio.Queue, c *virtq.Chain) error {
	if err := q.Next(ctx, c); err != nil {
		return err
	}
	if n := c.Writer.Len(); n > 0 {
		return broken(ruleDirection, "%d bytes of room to write in a transmitq", n)
	}
	return nil
}

// nextWritable waits for the next chain in a receiveq.
func nextWritable(ctx context.Context, q *virtio.Queue, c *virtq.Chain) error {
	if err := q.Next(ctx, c); err != nil {
		return err
	}
	if n := c.Reader.Len(); n > 0 {
		return broken(ruleDirection, "%d bytes to read in a receiveq", n)
	}
	return nil
}
