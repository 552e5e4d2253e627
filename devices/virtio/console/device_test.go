package console_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/console"
	"microvm/devices/virtio/virtiotest"
)

// The numbers of virtio-v1.2 §5.3, once more.
const (
	size       virtio.Features = 1 << 0
	multiport  virtio.Features = 1 << 1
	emergWrite virtio.Features = 1 << 2

	receive0, transmit0                    = 0, 1
	controlReceive, controlTransmit        = 2, 3
	receive1, transmit1                    = 4, 5
	deviceReady, portAdd                   = 0, 1
	portRemove, portReady                  = 2, 3
	consolePort, resize                    = 4, 5
	portOpen, portName                     = 6, 7
	portNameText                           = "org.microvm.control"
	outLimit                               = 64 << 10 // bytes of output that wait for the host
	configChanged                   uint32 = 2        // in InterruptStatus
)

var le = binary.LittleEndian

// start returns a console with a generic port for each name, and its driver. A
// console alone is open.
func start(t testing.TB, names ...string) (*console.Device, *virtiotest.Driver) {
	dev := virtiotest.Must(console.New(names...))
	d := virtiotest.New(t, dev)
	d.Start(^virtio.Features(0))
	if len(names) == 0 {
		if err := dev.Console().AwaitOpen(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	return dev, d
}

// soon is a context for what must not take long.
func soon(t testing.TB) context.Context {
	ctx, stop := context.WithTimeout(context.Background(), virtiotest.Patience)
	t.Cleanup(stop)
	return ctx
}

// read reads n bytes that the guest sends.
func read(t testing.TB, p *console.Port, n int) []byte {
	t.Helper()
	got := make([]byte, n)
	for have := 0; have < n; {
		k, err := p.Read(soon(t), got[have:])
		if err != nil {
			t.Fatalf("after %d bytes of %d: %v", have, n, err)
		}
		have += k
	}
	return got
}

func message(id uint32, event, value uint16, more ...byte) []byte {
	b := le.AppendUint32(nil, id)
	b = le.AppendUint16(b, event)
	return append(le.AppendUint16(b, value), more...)
}

// tell sends a control message to the device.
func tell(d *virtiotest.Driver, id uint32, event, value uint16) {
	d.T.Helper()
	if n := d.Queues[controlTransmit].Do(d.Out(message(id, event, value))); n != 0 {
		d.T.Errorf("the device wrote %d bytes to a message of the driver", n)
	}
}

// hear returns the next control message of the device, for which there must be
// no buffer yet.
func hear(d *virtiotest.Driver) []byte {
	d.T.Helper()
	room := d.In(64)
	n := d.Queues[controlReceive].Do(room)
	return slices.Clone(d.Bytes(room.Addr, n))
}

// hears checks what the device says.
func hears(d *virtiotest.Driver, want ...[]byte) {
	d.T.Helper()
	for _, w := range want {
		if got := hear(d); !bytes.Equal(got, w) {
			d.T.Fatalf("the device says % x, want % x", got, w)
		}
	}
}

// silent checks that the device has nothing to say: what it says next is the
// answer to a question asked now.
func silent(d *virtiotest.Driver) {
	d.T.Helper()
	tell(d, 1, portReady, 1)
	hears(d, message(1, portOpen, 1), message(1, portName, 1, []byte(portNameText)...))
}

// open makes both ports ready, as Linux does.
func open(d *virtiotest.Driver) {
	d.T.Helper()
	tell(d, ^uint32(0), deviceReady, 1)
	hears(d, message(0, portAdd, 1), message(1, portAdd, 1))
	tell(d, 0, portReady, 1)
	hears(d, message(0, consolePort, 1), message(0, portOpen, 1))
	tell(d, 1, portReady, 1)
	hears(d, message(1, portOpen, 1), message(1, portName, 1, []byte(portNameText)...))
	tell(d, 0, portOpen, 1)
	tell(d, 1, portOpen, 1)
}

// A console alone has two queues and no control messages.
func TestFeatures(t *testing.T) {
	for _, tt := range []struct {
		names    []string
		features virtio.Features
		queues   int
		config   []byte
	}{
		{nil, size | emergWrite, 2, []byte{80, 0, 24, 0, 1, 0, 0, 0, 0, 0, 0, 0}},
		{[]string{"a", "b"}, size | multiport | emergWrite, 8, []byte{80, 0, 24, 0, 3, 0, 0, 0, 0, 0, 0, 0}},
	} {
		dev := virtiotest.Must(console.New(tt.names...))
		dev.Resize(80, 24)
		if got := dev.Features(); got != tt.features {
			t.Errorf("with ports %q: features %v, want %v", tt.names, got, tt.features)
		}
		if got := len(dev.QueueSizes()); got != tt.queues {
			t.Errorf("with ports %q: %d queues, want %d", tt.names, got, tt.queues)
		}
		if got := dev.AppendConfig(nil); !bytes.Equal(got, tt.config) {
			t.Errorf("with ports %q: configuration % x, want % x", tt.names, got, tt.config)
		}
	}
}

func TestOutput(t *testing.T) {
	dev, d := start(t)
	if n := d.Queues[transmit0].Do(d.Out([]byte("hello, ")), d.Out([]byte("world"))); n != 0 {
		t.Errorf("the device wrote %d bytes to what it read", n)
	}
	if got := read(t, dev.Console(), 12); string(got) != "hello, world" {
		t.Errorf("got %q", got)
	}
}

// A chain larger than what the device keeps goes through it in pieces; it is
// given back when all of it is kept.
func TestHugeOutput(t *testing.T) {
	dev, d := start(t)
	want := bytes.Repeat([]byte("0123456789abcdef"), 3*outLimit/16)
	out := d.Out(want)
	d.Queues[transmit0].Add(out, out)
	d.Queues[transmit0].Notify()
	if got := read(t, dev.Console(), outLimit); !bytes.Equal(got, want[:outLimit]) {
		t.Error("the first bytes are not the guest's")
	}
	if _, ok := d.Queues[transmit0].TryUsed(); ok {
		t.Error("the buffer was given back while most of it was not taken")
	}
	if got := read(t, dev.Console(), 5*outLimit); !bytes.Equal(got, append(want, want...)[outLimit:]) {
		t.Error("the rest is not the guest's")
	}
	d.Queues[transmit0].AwaitUsed()
}

// Input goes into as many buffers as it takes.
func TestInput(t *testing.T) {
	dev, d := start(t)
	q := d.Queues[receive0]
	var rooms []virtiotest.Buffer
	for range 4 {
		rooms = append(rooms, d.In(3))
		q.Add(rooms[len(rooms)-1])
	}
	q.Notify()
	if n, err := dev.Console().Write(soon(t), []byte("typed text")); n != 10 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	var got []byte
	for _, room := range rooms {
		got = append(got, d.Bytes(room.Addr, q.AwaitUsed().Written)...)
	}
	if string(got) != "typed text" {
		t.Errorf("the guest got %q", got)
	}
	if c := dev.Console().Counts(); c.In != 10 {
		t.Errorf("%d bytes counted", c.In)
	}
}

// Without a buffer Write waits, and when its context ends it says how much the
// guest has got.
func TestInputWaits(t *testing.T) {
	dev, d := start(t)
	d.Queues[receive0].Add(d.In(4))
	d.Queues[receive0].Notify()
	ctx, stop := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, stop)
	if n, err := dev.Console().Write(ctx, []byte("typed text")); n != 4 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d, %v", n, err)
	}
}

// The port of a device without a driver is closed, and so is one whose driver
// has reset it, even while somebody writes.
func TestClosed(t *testing.T) {
	dev := virtiotest.Must(console.New())
	d := virtiotest.New(t, dev)
	if _, err := dev.Console().Write(soon(t), []byte("x")); !errors.Is(err, console.ErrClosed) {
		t.Errorf("without a driver: %v", err)
	}
	opened := make(chan error, 1)
	go func() { opened <- dev.Console().AwaitOpen(soon(t)) }()
	d.Start(0)
	if err := <-opened; err != nil {
		t.Errorf("with a driver: %v", err)
	}
	wrote := make(chan error, 1)
	go func() {
		_, err := dev.Console().Write(soon(t), []byte("x"))
		wrote <- err
	}()
	time.Sleep(10 * time.Millisecond) // for Write to wait, most of the times
	d.Reset()
	if err := <-wrote; !errors.Is(err, console.ErrClosed) {
		t.Errorf("after a reset: %v", err)
	}
}

// What was sent before a reset is read after it, and the next session goes on.
func TestResetKeepsOutput(t *testing.T) {
	dev, d := start(t)
	d.Queues[transmit0].Do(d.Out([]byte("before ")))
	d.Reset()
	d.Start(0)
	d.Queues[transmit0].Do(d.Out([]byte("after")))
	if got := read(t, dev.Console(), 12); string(got) != "before after" {
		t.Errorf("got %q", got)
	}
}

// A reset does not wait for a reader that has stalled.
func TestResetWhileOutputWaits(t *testing.T) {
	_, d := start(t)
	d.Queues[transmit0].Add(d.Out(make([]byte, 2*outLimit)))
	d.Queues[transmit0].Notify()
	began := time.Now()
	d.Reset()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a reset took %v", took)
	}
}

// Drain waits until the reader has come back for more.
func TestDrain(t *testing.T) {
	dev, d := start(t)
	d.Queues[transmit0].Do(d.Out([]byte("last words")))
	ctx, stop := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer stop()
	if err := dev.Console().Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("with no reader: %v", err)
	}
	written := false
	reader, end := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 4)
		for total := 0; ; {
			n, err := dev.Console().Read(reader, b)
			if err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond) // writing it somewhere
			total += n
			written = total == len("last words")
		}
	}()
	if err := dev.Console().Drain(soon(t)); err != nil {
		t.Error(err)
	}
	end()
	<-done
	if !written {
		t.Error("drained before all was written")
	}
}

// emerg_wr works before any driver, without its feature and with any width, and
// never waits.
func TestEmergencyWrite(t *testing.T) {
	dev := virtiotest.Must(console.New())
	d := virtiotest.New(t, dev)
	d.Write32(virtiotest.Config+8, 0x12345600|'a')
	d.Device.WriteIO(virtiotest.Config+8, []byte{'b'})
	d.Device.WriteIO(virtiotest.Config+4, []byte{0, 0, 0, 0, 'c', 0, 0, 0})
	d.Write32(virtiotest.Config, '-')
	d.Device.WriteIO(virtiotest.Config+9, []byte{'-'})
	if got := read(t, dev.Console(), 3); string(got) != "abc" {
		t.Errorf("got %q", got)
	}
	for range outLimit + 10 {
		d.Write32(virtiotest.Config+8, 'x')
	}
	read(t, dev.Console(), outLimit)
	d.Write32(virtiotest.Config+8, 'y')
	if got := read(t, dev.Console(), 1); string(got) != "y" {
		t.Errorf("after too much: %q", got)
	}
}

// A change of size is a change of the configuration; a size that is known at the
// start is announced as well, for Linux does not look without.
func TestResize(t *testing.T) {
	dev := virtiotest.Must(console.New())
	dev.Resize(80, 24)
	d := virtiotest.New(t, dev)
	d.Start(size)
	for _, want := range [][2]uint16{{80, 24}, {120, 40}} {
		dev.Resize(want[0], want[1])
		if got := d.AwaitInterrupt(); got != configChanged {
			t.Errorf("interrupt status %#x", got)
		}
		c := d.ReadConfig(0, 4)
		if got := [2]uint16{le.Uint16(c), le.Uint16(c[2:])}; got != want {
			t.Errorf("size %v, want %v", got, want)
		}
	}
	dev.Resize(120, 40) // no change
	d.Queues[transmit0].Do(d.Out([]byte("x")))
	if s := d.Read32(virtiotest.InterruptStatus); s&configChanged != 0 {
		t.Error("the same size is announced again")
	}
}

func TestPorts(t *testing.T) {
	dev, d := start(t, portNameText)
	open(d)
	p := dev.Port(portNameText)
	d.Queues[transmit1].Do(d.Out([]byte("request")))
	if got := read(t, p, 7); string(got) != "request" {
		t.Errorf("got %q", got)
	}
	room := d.In(16)
	d.Queues[receive1].Add(room)
	d.Queues[receive1].Notify()
	if _, err := p.Write(soon(t), []byte("answer")); err != nil {
		t.Error(err)
	}
	if n := d.Queues[receive1].AwaitUsed().Written; string(d.Bytes(room.Addr, n)) != "answer" {
		t.Errorf("the guest got %q", d.Bytes(room.Addr, n))
	}
	tell(d, 1, portOpen, 0)
	if _, err := p.Write(soon(t), []byte("x")); !errors.Is(err, console.ErrClosed) {
		t.Errorf("a port that the guest has closed: %v", err)
	}
	if dev.Port("another") != nil {
		t.Error("a port that nobody asked for")
	}
}

// Nothing is said before DEVICE_READY, and each port is added once however often
// the driver is ready, but again after a reset.
func TestPortsAddedOnce(t *testing.T) {
	_, d := start(t, portNameText)
	d.Queues[controlReceive].Add(d.In(64))
	d.Queues[controlReceive].Notify()
	tell(d, 0, portReady, 1)
	tell(d, 0, deviceReady, 0)
	if _, ok := d.Queues[controlReceive].TryUsed(); ok {
		t.Error("a message to a driver that is not ready")
	}
	d.Reset()
	d.Start(^virtio.Features(0))
	open(d)
	tell(d, ^uint32(0), deviceReady, 1)
	silent(d)
}

// With control messages, the console is open when the driver says so.
func TestConsoleOpens(t *testing.T) {
	dev, d := start(t, portNameText)
	if _, err := dev.Console().Write(soon(t), []byte("x")); !errors.Is(err, console.ErrClosed) {
		t.Errorf("before PORT_OPEN: %v", err)
	}
	open(d)
	if err := dev.Console().AwaitOpen(soon(t)); err != nil {
		t.Errorf("after PORT_OPEN: %v", err)
	}
}

// Messages that mean nothing change nothing.
func TestUnknownMessages(t *testing.T) {
	_, d := start(t, portNameText)
	open(d)
	for _, m := range [][]byte{
		message(2, portReady, 1), message(^uint32(0), portReady, 1), message(2, portOpen, 1), message(^uint32(0), portOpen, 0),
		message(0, portReady, 0), message(0, portAdd, 1), message(0, portRemove, 1), message(1, portName, 1),
		message(0, 8, 1), message(0, 0xffff, 0xffff), message(0, resize, 0, 1, 2, 3, 4),
	} {
		d.Queues[controlTransmit].Do(d.Out(m))
	}
	silent(d)
	if s := d.Device.Stats(); s.Errors != 0 {
		t.Errorf("counted as broken rules: %+v", s)
	}
}

// With many ports the size comes by a message too, to a driver that knows of the
// port.
func TestResizeMessage(t *testing.T) {
	dev, d := start(t, portNameText)
	dev.Resize(100, 50)
	tell(d, 0, deviceReady, 1)
	hears(d, message(0, portAdd, 1), message(1, portAdd, 1))
	tell(d, 0, portReady, 1)
	hears(d, message(0, consolePort, 1), message(0, resize, 1, 100, 0, 50, 0), message(0, portOpen, 1))
	dev.Resize(300, 2)
	hears(d, message(0, resize, 1, 300-256, 1, 2, 0))
}

// However often something changes, a driver without buffers is owed a message of
// each kind, besides the one that the device is about to send.
func TestMessagesAreOwedOnce(t *testing.T) {
	dev, d := start(t, portNameText)
	open(d)
	for i := range uint16(1000) {
		dev.Resize(i+1, 1)
		tell(d, 1, portReady, 1)
	}
	for n := 1; !bytes.Equal(hear(d), message(1, portName, 1, []byte(portNameText)...)); n++ {
		if n == 4 { // two of RESIZE, PORT_OPEN, PORT_NAME
			t.Fatal("more messages than were owed")
		}
	}
	silent(d)
}

// A driver that has not accepted MULTIPORT gets a console that works.
func TestMultiportNotAccepted(t *testing.T) {
	dev := virtiotest.Must(console.New(portNameText))
	d := virtiotest.New(t, dev)
	d.Start(size)
	d.Queues[transmit0].Do(d.Out([]byte("x")))
	if err := dev.Console().AwaitOpen(soon(t)); err != nil {
		t.Error(err)
	}
	if _, err := dev.Port(portNameText).Write(soon(t), []byte("x")); !errors.Is(err, console.ErrClosed) {
		t.Errorf("a port that the driver does not know of: %v", err)
	}
}

// What a driver must not do breaks the device, by the rule's name, until a
// reset.
func TestBrokenRules(t *testing.T) {
	tests := []struct {
		name, rule string
		queue      int
		buffers    func(d *virtiotest.Driver) []virtiotest.Buffer
	}{
		{"writable in a transmitq", "§5.3.6.1", transmit0, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out([]byte("x")), d.In(1)}
		}},
		{"readable in a receiveq", "§5.3.6.1", receive1, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out([]byte("x")), d.In(1)}
		}},
		{"writable in the control transmitq", "§5.3.6.1", controlTransmit, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out(message(0, portReady, 1)), d.In(1)}
		}},
		{"readable in the control receiveq", "§5.3.6.1", controlReceive, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out([]byte("x")), d.In(64)}
		}},
		{"a short message", "§5.3.6.2", controlTransmit, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out([]byte{0, 0, 0, 0, 0, 0, 1})}
		}},
		{"no room for a message", "§5.3.6.2", controlReceive, func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.In(7)}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev, d := start(t, portNameText)
			open(d)
			dev.Resize(1, 1) // so that there is a message to send
			d.Queues[tt.queue].Add(tt.buffers(d)...)
			d.Queues[tt.queue].Notify()
			d.AwaitBroken()
			if s := d.Device.Stats(); s.Errors != 1 || !strings.Contains(s.Error, tt.rule) {
				t.Errorf("the statistics say %q, want rule %s", s.Error, tt.rule)
			}
			d.Reset()
			dev.Resize(0, 0)
			d.Start(^virtio.Features(0))
			open(d)
		})
	}
}

// The device can be reset at any moment while all its queues are busy, and is
// then as good as new.
func TestResets(t *testing.T) {
	dev, d := start(t, portNameText)
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{}, 2)
	for _, p := range []*console.Port{dev.Console(), dev.Port(portNameText)} {
		go func() { // somebody types
			defer func() { done <- struct{}{} }()
			for ctx.Err() == nil {
				if _, err := p.Write(ctx, []byte("typed")); errors.Is(err, console.ErrClosed) {
					_ = p.AwaitOpen(ctx)
				}
			}
		}()
	}
	for i := range 100 {
		open(d)
		for _, q := range []int{receive0, receive1} {
			d.Queues[q].Add(d.In(3))
			d.Queues[q].Notify()
		}
		for _, q := range []int{transmit0, transmit1} {
			d.Queues[q].Add(d.Out(make([]byte, i*100)))
			d.Queues[q].Notify()
		}
		d.Reset()
		d.Start(^virtio.Features(0))
	}
	stop()
	<-done
	<-done
	open(d)
	silent(d)
}

func TestTooManyPorts(t *testing.T) {
	var names []string
	for i := range console.MaxPorts - 1 {
		names = append(names, fmt.Sprint(i))
	}
	if n := len(virtiotest.Must(console.New(names...)).QueueSizes()); n > virtio.MaxQueues {
		t.Errorf("%d queues", n)
	}
	if _, err := console.New(append(names, "one more")...); err == nil || !strings.Contains(err.Error(), "32 ports; there can be 31") {
		t.Errorf("a device with too many ports: %v", err)
	}
}
