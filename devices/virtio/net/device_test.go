package net_test

import (
	"bytes"
	"context"
	"encoding/binary"
	stdnet "net"
	"slices"
	"sync"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
	"microvm/devices/virtio/virtiotest"
)

var mac = stdnet.HardwareAddr{2, 0, 0, 1, 2, 3}

// A fake is a backend whose other end is the test.
type fake struct {
	pairs    int
	offloads net.Offloads
	answers  bool // each frame from the guest by itself

	mu       sync.Mutex
	accepted net.Offloads
	enabled  int
	sent     [][]byte   // frames from the guest, with their headers
	waiting  [][][]byte // frames for the guest, a list for each pair
	arrived  []chan struct{}
	waits    int // goroutines in Wait
	wakes    int // calls of Wake
}

var all = net.Offloads{Checksum: true, TSO4: true, TSO6: true, ECN: true}

func newFake(pairs int, o net.Offloads) *fake {
	f := &fake{pairs: pairs, offloads: o, waiting: make([][][]byte, pairs)}
	for range pairs {
		f.arrived = append(f.arrived, make(chan struct{}, 1))
	}
	return f
}

func (f *fake) Pairs() int             { return f.pairs }
func (f *fake) Offloads() net.Offloads { return f.offloads }
func (f *fake) Close() error           { return nil }

func (f *fake) SetOffloads(accepted net.Offloads) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.accepted = accepted
	return nil
}

func (f *fake) SetPairs(n int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.enabled = n
	return nil
}

func (f *fake) Send(pair int, frame [][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sent = append(f.sent, slices.Concat(frame...))
	if f.answers {
		f.waiting[pair] = append(f.waiting[pair], slices.Concat(frame...)) // and Wait does not end
	}
	return nil
}

func (f *fake) Answers(pair int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.answers && len(f.waiting[pair]) > 0
}

func (f *fake) Wake(pair int) {
	f.mu.Lock()
	f.wakes++
	f.mu.Unlock()
	f.endWait(pair)
}

func (f *fake) endWait(pair int) {
	select {
	case f.arrived[pair] <- struct{}{}:
	default:
	}
}

func (f *fake) Receive(pair int, into [][]byte) (n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting[pair]) == 0 {
		return 0, nil
	}
	frame := f.waiting[pair][0]
	f.waiting[pair] = f.waiting[pair][1:]
	for _, p := range into {
		n += copy(p, frame[n:])
	}
	return n, nil
}

func (f *fake) Wait(ctx context.Context, pair int) error {
	f.enterWait(1)
	defer f.enterWait(-1)
	select {
	case <-f.arrived[pair]:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fake) enterWait(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.waits += n
}

// awaitWait returns when the receiver waits for frames, and how often it was woken.
func (f *fake) awaitWait() (wakes int) {
	for {
		f.mu.Lock()
		waits, wakes := f.waits, f.wakes
		f.mu.Unlock()
		if waits > 0 {
			return wakes
		}
		time.Sleep(time.Millisecond)
	}
}

// arrive makes frames wait for the guest.
func (f *fake) arrive(pair int, frames ...[]byte) {
	f.mu.Lock()
	f.waiting[pair] = append(f.waiting[pair], frames...)
	f.mu.Unlock()
	f.endWait(pair)
}

// took is what the guest has sent so far.
func (f *fake) took() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sent)
}

// start returns a driver that has the device going.
func start(t *testing.T, b net.Backend, o net.Options, wanted virtio.Features) (*virtiotest.Driver, *net.Device) {
	t.Helper()
	o.MAC = mac
	dev := net.New(o, b)
	d := virtiotest.New(t, dev)
	d.Start(wanted)
	return d, dev
}

// header is a struct virtio_net_hdr.
type header struct {
	Flags, GSOType                         byte
	HdrLen, GSOSize, CsumStart, CsumOffset uint16
	NumBuffers                             uint16
}

func (h header) bytes() []byte {
	b, err := binary.Append(nil, binary.LittleEndian, h)
	if err != nil {
		panic(err)
	}
	return b
}

func readHeader(b []byte) (h header) {
	if _, err := binary.Decode(b, binary.LittleEndian, &h); err != nil {
		panic(err)
	}
	return h
}

// frame is n bytes that look like no other frame.
func frame(seed byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = seed + byte(i*7)
	}
	return b
}

const (
	receiveQueue  = 0
	transmitQueue = 1
)

func TestSend(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, ^virtio.Features(0))
	tx := d.Queues[transmitQueue]
	want := frame(1, 200)
	if n := tx.Do(d.Out(header{}.bytes()), d.Out(want[:14]), d.Out(want[14:])); n != 0 {
		t.Errorf("the device wrote %d bytes to a frame", n)
	}
	// The header may be in one piece with the frame, or be cut.
	tx.Do(d.Out(append(header{}.bytes(), want...)))
	tx.Do(d.Out(header{}.bytes()[:5]), d.Out(append(header{}.bytes()[5:], want...)))
	sent := b.took()
	if len(sent) != 3 {
		t.Fatalf("%d frames sent", len(sent))
	}
	for i, got := range sent {
		if !bytes.Equal(got, append(header{}.bytes(), want...)) {
			t.Errorf("frame %d: sent % x", i, got)
		}
	}
}

func TestReceive(t *testing.T) {
	for _, features := range []virtio.Features{0, net.FeatureMrgRxbuf} {
		b := newFake(1, all)
		d, _ := start(t, b, net.Options{}, features)
		rx := d.Queues[receiveQueue]
		room := []virtiotest.Buffer{d.In(2000), d.In(2000)}
		for _, r := range room {
			rx.Add(r)
		}
		rx.Notify()
		for i, r := range room {
			want := frame(byte(i), 100+i)
			b.arrive(0, append(header{}.bytes(), want...))
			if u := rx.AwaitUsed(); u.Written != net.HeaderSize+len(want) {
				t.Errorf("features %v: %d bytes used of a frame of %d", features, u.Written, len(want))
			}
			got := d.Bytes(r.Addr, net.HeaderSize+len(want))
			if h := readHeader(got); h != (header{NumBuffers: 1}) {
				t.Errorf("features %v: header %+v", features, h)
			}
			if !bytes.Equal(got[net.HeaderSize:], want) {
				t.Errorf("features %v: frame % x", features, got)
			}
		}
	}
}

// A frame is spread over as many buffers as it needs, each but the last full.
// Whether they were there when it came or not makes no difference.
func TestMergeableBuffers(t *testing.T) {
	for _, there := range []int{1, 2, 3, 5} {
		b := newFake(1, all)
		d, _ := start(t, b, net.Options{}, ^virtio.Features(0))
		rx := d.Queues[receiveQueue]
		sizes := []int{100, 12, 300, 4000, 500}
		var room []virtiotest.Buffer
		for _, n := range sizes {
			room = append(room, d.In(n))
		}
		for _, r := range room[:there] {
			rx.Add(r)
		}
		rx.Notify()
		want := append(header{}.bytes(), frame(3, 1000)...)
		b.arrive(0, want)
		for _, r := range room[there:] {
			time.Sleep(time.Millisecond)
			rx.Add(r)
			rx.Notify()
		}
		var got []byte
		for i, wrote := range []int{100, 12, 300, 600} {
			u := rx.AwaitUsed()
			if u.Written != wrote {
				t.Errorf("%d buffers there: %d bytes used of buffer %d, want %d", there, u.Written, i, wrote)
			}
			got = append(got, d.Bytes(room[i].Addr, u.Written)...)
		}
		if h := readHeader(got); h.NumBuffers != 4 {
			t.Errorf("%d buffers there: num_buffers %d", there, h.NumBuffers)
		}
		if !bytes.Equal(got[net.HeaderSize:], want[net.HeaderSize:]) {
			t.Errorf("%d buffers there: the frame is not as it came", there)
		}
	}
}

// A kernel is a fake that serves the queues itself and interrupts the driver by
// an eventfd.
type kernel struct {
	*fake
	served chan *virtio.Session
}

func (k *kernel) Serves(f virtio.Features) bool { return true }
func (k *kernel) SetLink(up bool) error         { return nil }

func (k *kernel) Serve(ctx context.Context, s *virtio.Session, pairs int) error {
	s.KernelInterrupts()
	k.served <- s
	<-ctx.Done()
	return ctx.Err()
}

// While another serves the queues, whoever interrupts the driver, it finds that
// there may be used buffers, until the reset.
func TestServer(t *testing.T) {
	k := &kernel{newFake(1, all), make(chan *virtio.Session, 1)}
	d, _ := start(t, k, net.Options{}, ^virtio.Features(0))
	s := <-k.served
	if c := s.Queues[transmitQueue].Config(); c.Desc != d.Queues[transmitQueue].Desc || c.Size != d.Queues[transmitQueue].Size {
		t.Errorf("the server sees a queue %+v, the driver's is %+v", c, d.Queues[transmitQueue])
	}
	for range 2 {
		if got := d.Read32(virtiotest.InterruptStatus); got != 1 {
			t.Errorf("interrupt status %#x while a server runs", got)
		}
		d.Write32(virtiotest.InterruptACK, 1)
	}
	d.Reset()
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x after a reset", got)
	}
}
