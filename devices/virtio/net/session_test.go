package net_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"strings"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
	"microvm/devices/virtio/virtiotest"
)

func TestOfferedFeatures(t *testing.T) {
	const base = net.FeatureMAC | net.FeatureStatus | net.FeatureMrgRxbuf | net.FeatureCtrlVQ | net.FeatureCtrlGuestOffloads
	for _, tt := range []struct {
		pairs    int
		mtu      uint16
		offloads net.Offloads
		want     virtio.Features
	}{
		{1, 0, net.Offloads{}, base},
		{2, 0, net.Offloads{}, base | net.FeatureMQ},
		{1, 9000, net.Offloads{}, base | net.FeatureMTU},
		{1, 0, net.Offloads{Checksum: true, TSO6: true}, base | net.FeatureCsum | net.FeatureGuestCsum | net.FeatureHostTSO6 | net.FeatureGuestTSO6},
		{1, 0, all, base | net.FeatureCsum | net.FeatureGuestCsum | net.FeatureHostTSO4 | net.FeatureGuestTSO4 |
			net.FeatureHostTSO6 | net.FeatureGuestTSO6 | net.FeatureHostECN | net.FeatureGuestECN},
	} {
		dev := net.New(net.Options{MAC: mac, MTU: tt.mtu}, newFake(tt.pairs, tt.offloads))
		if got := dev.Features(); got != tt.want {
			t.Errorf("%d pairs, MTU %d, %+v: offers %v, want %v", tt.pairs, tt.mtu, tt.offloads, got, tt.want)
		}
		if err := dev.CheckFeatures(dev.Features()); err != nil {
			t.Errorf("what is offered cannot be accepted: %v", err)
		}
	}
}

func TestFeaturesThatNeedOthers(t *testing.T) {
	dev := net.New(net.Options{MAC: mac}, newFake(2, all))
	for _, f := range []virtio.Features{
		net.FeatureGuestTSO4, net.FeatureGuestTSO6, net.FeatureGuestECN | net.FeatureGuestCsum,
		net.FeatureHostTSO4, net.FeatureHostTSO6, net.FeatureHostECN | net.FeatureCsum,
		net.FeatureMQ, net.FeatureCtrlGuestOffloads,
	} {
		if err := dev.CheckFeatures(f); err == nil || !strings.Contains(err.Error(), "§5.1.3.1") {
			t.Errorf("%v alone: %v", f, err)
		}
	}
}

// What the driver accepts of offloads the backend is told, and that one pair is in
// use.
func TestBackendIsTold(t *testing.T) {
	b := newFake(2, all)
	b.enabled = 2
	d, _ := start(t, b, net.Options{}, net.FeatureGuestCsum|net.FeatureGuestTSO6|net.FeatureCsum|net.FeatureMQ|net.FeatureCtrlVQ)
	d.Queues[transmitQueue].Do(d.Out(append(header{}.bytes(), frame(1, 60)...)))
	b.mu.Lock()
	defer b.mu.Unlock()
	if want := (net.Offloads{Checksum: true, TSO6: true}); b.accepted != want || b.enabled != 1 {
		t.Errorf("the backend was told %+v and %d pairs", b.accepted, b.enabled)
	}
}

func TestConfig(t *testing.T) {
	d, dev := start(t, newFake(3, all), net.Options{MTU: 9000}, net.FeatureStatus)
	config := func() (c struct {
		MAC                   [6]byte
		Status, MaxPairs, MTU uint16
	}) {
		if _, err := binary.Decode(d.ReadConfig(0, 12), binary.LittleEndian, &c); err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := config(); !bytes.Equal(c.MAC[:], mac) || c.Status != 1 || c.MaxPairs != 3 || c.MTU != 9000 {
		t.Errorf("configuration %+v", c)
	}
	for _, up := range []bool{false, true} {
		if err := dev.SetLink(up); err != nil {
			t.Fatal(err)
		}
		if reasons := d.AwaitInterrupt(); reasons != 2 {
			t.Errorf("link up: %t is announced by interrupt status %#x", up, reasons)
		}
		if c := config(); c.Status == 1 != up {
			t.Errorf("link up: %t is status %#x", up, c.Status)
		}
	}
}

// With the link down frames are lost in both directions, and queues go on.
func TestLinkDown(t *testing.T) {
	b := newFake(1, all)
	d, dev := start(t, b, net.Options{}, plain)
	tx, rx := d.Queues[transmitQueue], d.Queues[receiveQueue]
	room := d.In(2000)
	rx.Add(room)
	rx.Notify()
	if err := dev.SetLink(false); err != nil {
		t.Fatal(err)
	}
	tx.Do(d.Out(append(header{}.bytes(), frame(1, 60)...)))
	b.arrive(0, append(header{}.bytes(), frame(2, 60)...))
	for b.left(0) > 0 {
		time.Sleep(time.Millisecond)
	}
	if err := dev.SetLink(true); err != nil {
		t.Fatal(err)
	}
	tx.Do(d.Out(append(header{}.bytes(), frame(3, 60)...)))
	if sent := b.took(); len(sent) != 1 || sent[0][net.HeaderSize] != 3 {
		t.Errorf("%d frames were sent", len(sent))
	}
	b.arrive(0, append(header{}.bytes(), frame(4, 60)...))
	rx.AwaitUsed()
	if got := d.Bytes(room.Addr, 100)[net.HeaderSize]; got != 4 {
		t.Errorf("received frame %d", got)
	}
}

// left is how many frames for the guest wait.
func (f *fake) left(pair int) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.waiting[pair])
}

// A frame that is too short, or longer than any, is lost; the largest is not.
func TestSizesOfSentFrames(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain)
	for _, n := range []int{0, 13, net.MaxFrame + 1, 1 << 20} {
		d.Queues[transmitQueue].Do(d.Out(append(header{}.bytes(), frame(1, n)...)))
	}
	for _, n := range []int{14, net.MaxFrame} {
		d.Queues[transmitQueue].Do(d.Out(append(header{}.bytes(), frame(1, n)...)))
	}
	sent := b.took()
	if len(sent) != 2 || len(sent[0]) != net.HeaderSize+14 || len(sent[1]) != net.HeaderSize+net.MaxFrame {
		t.Errorf("%d frames were sent", len(sent))
	}
}

// Buffers that cannot hold a header break the device.
func TestBuffersThatCannotBe(t *testing.T) {
	for name, add := range map[string]func(*virtiotest.Driver){
		"a frame without a whole header": func(d *virtiotest.Driver) { d.Queues[transmitQueue].Add(d.Out(make([]byte, net.HeaderSize-1))) },
		"a frame to be written":          func(d *virtiotest.Driver) { d.Queues[transmitQueue].Add(d.In(100)) },
		"room for less than a header":    func(d *virtiotest.Driver) { d.Queues[receiveQueue].Add(d.In(net.HeaderSize - 1)) },
		"no room":                        func(d *virtiotest.Driver) { d.Queues[receiveQueue].Add(d.Out(make([]byte, 100))) },
	} {
		d, _ := start(t, newFake(1, all), net.Options{}, plain)
		add(d)
		d.Queues[transmitQueue].Notify()
		d.Queues[receiveQueue].Notify()
		d.AwaitBroken()
		if s := d.Device.Stats(); !strings.Contains(s.Error, "§5.1.6.") {
			t.Errorf("%s: %s", name, s.Error)
		}
	}
}

// A frame above the MTU that was negotiated is dropped, unless it is segments.
func TestMTU(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{MTU: 1000}, plain|net.FeatureMTU|net.FeatureGuestCsum|net.FeatureGuestTSO4)
	rx := d.Queues[receiveQueue]
	for range 3 {
		rx.Add(d.In(5000))
	}
	rx.Notify()
	tcp := header{Flags: 1, GSOType: 1, GSOSize: 900, CsumStart: 34, CsumOffset: 16}
	b.arrive(0, append(header{}.bytes(), frame(1, 1019)...), append(header{}.bytes(), frame(1, 1018)...), append(tcp.bytes(), frame(1, 4000)...))
	for _, want := range []int{1018, 4000} {
		if u := rx.AwaitUsed(); u.Written != net.HeaderSize+want {
			t.Errorf("received %d bytes, want a frame of %d", u.Written, want)
		}
	}
}

// Without mergeable buffers a frame has one chain; what does not fit is dropped and
// what comes after it is not.
func TestFrameLargerThanItsBuffer(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, net.FeatureMAC)
	rx := d.Queues[receiveQueue]
	rx.Add(d.In(100), d.In(100))
	rx.Add(d.In(1000))
	rx.Notify()
	b.arrive(0, append(header{}.bytes(), frame(1, 189)...), append(header{}.bytes(), frame(1, 188)...))
	if u := rx.AwaitUsed(); u.Written != 200 {
		t.Errorf("%d bytes used", u.Written)
	}
}

// With mergeable buffers the same happens to one that is larger than all that the
// queue can hold.
func TestFrameLargerThanAllBuffers(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain)
	rx := d.Queues[receiveQueue]
	for range rx.Size {
		rx.Add(d.In(net.HeaderSize))
	}
	rx.Notify()
	b.arrive(0, append(header{}.bytes(), frame(1, int(rx.Size)*net.HeaderSize)...), append(header{}.bytes(), frame(2, 20)...))
	for _, want := range []int{12, 12, 8} {
		if u := rx.AwaitUsed(); u.Written != want {
			t.Errorf("%d bytes used, want %d", u.Written, want)
		}
	}
}

// Nothing of a frame is used before all of it is.
func TestMergeableBuffersTogether(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain)
	rx := d.Queues[receiveQueue]
	rx.Add(d.In(100))
	rx.Notify()
	b.arrive(0, append(header{}.bytes(), frame(1, 150)...))
	for b.left(0) > 0 {
		time.Sleep(time.Millisecond)
	}
	if u, ok := rx.TryUsed(); ok {
		t.Errorf("a buffer with %d bytes of half a frame", u.Written)
	}
	rx.Add(d.In(100))
	rx.Notify()
	for _, want := range []int{100, 62} {
		if u := rx.AwaitUsed(); u.Written != want {
			t.Errorf("%d bytes used, want %d", u.Written, want)
		}
	}
}

// A backend that answers while it is sent to is received from at once: nobody is woken
// for it, and the driver is interrupted once for both queues.
func TestAnswers(t *testing.T) {
	b := newFake(1, all)
	b.answers = true
	d, _ := start(t, b, net.Options{}, plain)
	rx, tx := d.Queues[receiveQueue], d.Queues[transmitQueue]
	const frames = 5
	for range frames + 1 { // with room for another frame nothing is left to the receiver
		rx.Add(d.In(net.HeaderSize + net.MaxFrame))
	}
	rx.Notify()
	b.awaitWait()
	for i := range frames {
		sent := frame(byte(i), 80+i)
		tx.Do(d.Out(append(header{}.bytes(), sent...)))
		if u := rx.AwaitUsed(); u.Written != net.HeaderSize+len(sent) {
			t.Errorf("answer %d: %d bytes, not %d", i, u.Written, net.HeaderSize+len(sent))
		}
	}
	if wakes := b.awaitWait(); wakes != 0 {
		t.Errorf("the receiver was woken %d times", wakes)
	}
	queues := d.Device.Stats().Queues
	if n := queues[receiveQueue].Interrupts + queues[transmitQueue].Interrupts; n != frames {
		t.Errorf("%d interrupts for %d frames and their answers", n, frames)
	}
}

// Answers for which the driver has no room, or perhaps not enough, wait for it.
func TestAnswersWithoutRoom(t *testing.T) {
	for _, room := range []int{0, 50, net.HeaderSize + 100} {
		b := newFake(1, all)
		b.answers = true
		d, _ := start(t, b, net.Options{}, plain)
		rx, tx := d.Queues[receiveQueue], d.Queues[transmitQueue]
		if room > 0 {
			rx.Add(d.In(room))
			rx.Notify()
			b.awaitWait()
		}
		tx.Do(d.Out(append(header{}.bytes(), frame(1, 100)...)))
		rx.Add(d.In(net.HeaderSize + 100))
		rx.Notify()
		got := 0
		for got < net.HeaderSize+100 {
			got += rx.AwaitUsed().Written
		}
		if got != net.HeaderSize+100 {
			t.Errorf("with room for %d bytes: %d bytes of the answer", room, got)
		}
	}
}

// Many frames at once cost a few interrupts.
func TestBatches(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain)
	rx := d.Queues[receiveQueue]
	for range 200 {
		rx.Add(d.In(100))
	}
	var frames [][]byte
	for i := range 200 {
		frames = append(frames, append(header{}.bytes(), frame(byte(i), 60)...))
	}
	b.arrive(0, frames...)
	rx.Notify()
	for i := range 200 {
		if u := rx.AwaitUsed(); u.Written != net.HeaderSize+60 {
			t.Fatalf("frame %d: %d bytes", i, u.Written)
		}
	}
	if n := d.Device.Stats().Queues[receiveQueue].Interrupts; n > 20 {
		t.Errorf("%d interrupts for 200 frames", n)
	}
}

// command sends a command on the control queue and returns the answer.
func command(d *virtiotest.Driver, queue int, bytes ...byte) byte {
	ack := d.In(1)
	d.Bytes(ack.Addr, 1)[0] = 0xff
	d.Queues[queue].Do(d.Out(bytes), ack)
	return d.Bytes(ack.Addr, 1)[0]
}

func TestPairs(t *testing.T) {
	b := newFake(2, all)
	d, _ := start(t, b, net.Options{}, plain|net.FeatureCtrlVQ|net.FeatureMQ)
	const control = 4
	d.Queues[2].Add(d.In(100))
	d.Queues[2].Notify()
	b.arrive(1, append(header{}.bytes(), frame(1, 60)...)) // before the pair is in use
	for b.left(1) > 0 {
		time.Sleep(time.Millisecond)
	}
	for n, want := range map[byte]byte{0: 1, 3: 1, 2: 0} {
		if got := command(d, control, 4, 0, n, 0); got != want {
			t.Errorf("VQ_PAIRS_SET %d: answer %d, want %d", n, got, want)
		}
	}
	b.mu.Lock()
	if b.enabled != 2 {
		t.Errorf("the backend was told of %d pairs", b.enabled)
	}
	b.mu.Unlock()
	b.arrive(1, append(header{}.bytes(), frame(2, 70)...))
	if u := d.Queues[2].AwaitUsed(); u.Written != net.HeaderSize+70 {
		t.Errorf("%d bytes received on the second pair", u.Written)
	}
	d.Queues[3].Do(d.Out(append(header{}.bytes(), frame(3, 60)...)))
	if len(b.took()) != 1 {
		t.Error("nothing was sent on the second pair")
	}
}

// A pair whose queues were not set up takes no frame, and the others go on.
func TestPairThatIsNotSetUp(t *testing.T) {
	b := newFake(2, all)
	d := virtiotest.New(t, net.New(net.Options{MAC: mac}, b))
	accepted := d.Negotiate(plain | net.FeatureCtrlVQ | net.FeatureMQ | virtio.FeatureVersion1)
	for _, queue := range []uint32{receiveQueue, transmitQueue, 4} {
		d.Queues = append(d.Queues, d.AddQueue(queue, 16, accepted))
	}
	d.SetStatus(virtio.StatusDriverOK)
	if got := command(d, 2, 4, 0, 2, 0); got != 0 {
		t.Fatalf("VQ_PAIRS_SET 2: answer %d", got)
	}
	b.arrive(1, append(header{}.bytes(), frame(1, 60)...))
	d.Queues[receiveQueue].Add(d.In(100))
	d.Queues[receiveQueue].Notify()
	b.arrive(0, append(header{}.bytes(), frame(2, 70)...))
	if u := d.Queues[receiveQueue].AwaitUsed(); u.Written != net.HeaderSize+70 {
		t.Errorf("%d bytes received on the first pair", u.Written)
	}
	if b.left(1) != 1 {
		t.Error("a frame was taken for a pair that is not set up")
	}
}

// Without MQ the control queue comes after the first pair.
func TestControlQueueWithoutMQ(t *testing.T) {
	d, _ := start(t, newFake(2, all), net.Options{}, plain|net.FeatureCtrlVQ)
	if got := command(d, 2, 4, 0, 1, 0); got != 1 {
		t.Errorf("VQ_PAIRS_SET without MQ: answer %d", got)
	}
}

func TestGuestOffloads(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain|net.FeatureCtrlVQ|net.FeatureCtrlGuestOffloads|net.FeatureGuestCsum|net.FeatureGuestTSO4)
	set := func(f virtio.Features) byte {
		return command(d, 2, append([]byte{5, 0}, binary.LittleEndian.AppendUint64(nil, uint64(f))...)...)
	}
	for _, tt := range []struct {
		f        virtio.Features
		ack      byte
		accepted net.Offloads
	}{
		{net.FeatureGuestCsum, 0, net.Offloads{Checksum: true}},
		{net.FeatureGuestTSO4, 1, net.Offloads{Checksum: true}},                        // needs GUEST_CSUM
		{net.FeatureGuestCsum | net.FeatureGuestTSO6, 1, net.Offloads{Checksum: true}}, // not negotiated
		{net.FeatureMAC, 1, net.Offloads{Checksum: true}},                              // no offload
		{0, 0, net.Offloads{}},
		{net.FeatureGuestCsum | net.FeatureGuestTSO4, 0, net.Offloads{Checksum: true, TSO4: true}},
	} {
		if ack := set(tt.f); ack != tt.ack {
			t.Errorf("%v: answer %d, want %d", tt.f, ack, tt.ack)
		}
		b.mu.Lock()
		if b.accepted != tt.accepted {
			t.Errorf("%v: the backend was told %+v", tt.f, b.accepted)
		}
		b.mu.Unlock()
	}
}

// A frame that waits for buffers while the driver turns off what it needs is not
// delivered any more, and the next one is.
func TestOffloadGoneWhileFrameWaits(t *testing.T) {
	b := newFake(1, all)
	d, _ := start(t, b, net.Options{}, plain|net.FeatureCtrlVQ|net.FeatureCtrlGuestOffloads|net.FeatureGuestCsum)
	rx := d.Queues[receiveQueue]
	rx.Add(d.In(100))
	rx.Notify()
	undone := header{Flags: 1, CsumStart: 34, CsumOffset: 16}
	b.arrive(0, append(undone.bytes(), frame(1, 150)...), append(header{}.bytes(), frame(2, 60)...))
	for b.left(0) > 1 {
		time.Sleep(time.Millisecond)
	}
	if ack := command(d, 2, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0); ack != 0 {
		t.Fatalf("answer %d", ack)
	}
	rx.Add(d.In(100))
	rx.Notify()
	if u := rx.AwaitUsed(); u.Written != net.HeaderSize+60 {
		t.Errorf("%d bytes used, want those of the second frame", u.Written)
	}
}

func TestUnknownCommands(t *testing.T) {
	d, _ := start(t, newFake(1, all), net.Options{}, plain|net.FeatureCtrlVQ)
	for _, c := range [][]byte{{0, 0, 1}, {4, 0, 1}, {4, 1, 1, 0}, {9, 9}, make([]byte, 5000)} {
		if got := command(d, 2, c...); got != 1 {
			t.Errorf("command % x: answer %d", c[:2], got)
		}
	}
	d.Queues[2].Add(d.Out([]byte{4, 0, 1, 0})) // no room for an answer
	d.Queues[2].Notify()
	d.AwaitBroken()
	if s := d.Device.Stats(); !strings.Contains(s.Error, "§5.1.6.5") {
		t.Error(s.Error)
	}
}

// Resets at any moment leave nothing behind.
func TestResets(t *testing.T) {
	b := newFake(2, all)
	d, _ := start(t, b, net.Options{}, ^virtio.Features(0))
	d.Reset()
	before := runtime.NumGoroutine()
	for range 50 {
		d.Start(^virtio.Features(0))
		for i := range 20 {
			d.Queues[transmitQueue].Add(d.Out(append(header{}.bytes(), frame(byte(i), 100)...)))
			d.Queues[receiveQueue].Add(d.In(100))
			b.arrive(0, append(header{}.bytes(), frame(byte(i), 150)...))
		}
		d.Queues[transmitQueue].Notify()
		d.Queues[receiveQueue].Notify()
		d.Reset()
	}
	// One that has done its work may still be on its way out.
	for deadline := time.Now().Add(virtiotest.Patience); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines before, %d after", before, runtime.NumGoroutine())
		}
	}
}
