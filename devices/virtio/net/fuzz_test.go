package net_test

import (
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
	"microvm/devices/virtio/virtiotest"
)

// FuzzDriver lets a driver send frames and commands and give buffers, in pieces of
// any sizes, while frames come for it. The device gives back each chain with no more
// used than there was room, or breaks with the rule's name; and what reaches the
// backend is a header that is safe to use with a frame that is one.
//
// A step is a queue, how its chain is cut, and the bytes that it begins with.
func FuzzDriver(f *testing.F) {
	tcp := header{Flags: 1, GSOType: 1, HdrLen: 54, GSOSize: 1448, CsumStart: 34, CsumOffset: 16}.bytes()
	f.Add(uint64(1<<64-1), append([]byte{1, 12, 200}, tcp...))
	f.Add(uint64(plain), append([]byte{0, 100, 12, 3, 60, 0, 1, 5, 90}, header{}.bytes()...))
	f.Add(uint64(1<<64-1), []byte{4, 2, 2, 4, 0, 2, 0, 4, 2, 8, 5, 0, 2, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, features uint64, script []byte) {
		b := newFake(2, all)
		dev := net.New(net.Options{MAC: mac, MTU: 1500}, b)
		wanted := virtio.Features(features) & dev.Features()
		if dev.CheckFeatures(wanted) != nil {
			wanted = dev.Features()
		}
		d := virtiotest.New(t, dev)
		d.Start(wanted)
		room := make(map[*virtiotest.Queue]map[uint16]int)
		for steps := 0; len(script) >= 3 && steps < 64; steps++ {
			op, first, second := script[0]%6, int(script[1]), int(script[2])
			script = script[3:]
			begin := script[:min(len(script), net.HeaderSize)]
			script = script[len(begin):]
			if op == 5 {
				b.arrive(second%2, append(header{GSOType: byte(first % 5), Flags: byte(first >> 6)}.bytes(), frame(op, 14+first*second)...))
				continue
			}
			q := d.Queues[op]
			out := make([]byte, first+second)
			copy(out, begin)
			chain := []virtiotest.Buffer{d.Out(out[:first]), d.Out(out[first:]), d.In(1 + second%3)}
			if op%2 == 0 && op < 4 {
				chain = []virtiotest.Buffer{d.In(first), d.In(second)}
			}
			if room[q] == nil {
				room[q] = make(map[uint16]int)
			}
			writable := 0
			for _, p := range chain {
				if p.Writable {
					writable += p.Len
				}
			}
			room[q][q.Add(chain...)] = writable
			q.Notify()
		}
		for i, q := range d.Queues {
			collect(d, q, room[q], answers(i, wanted))
		}
		if s := d.Device.Stats(); s.Errors > 0 && s.Error == "" {
			t.Error("a broken rule without a name")
		}
		for _, got := range b.took() {
			checkSafe(t, got)
		}
	})
}

// answers reports whether the device gives back all chains of queue i by itself.
func answers(i int, f virtio.Features) bool {
	mq := f&net.FeatureMQ != 0
	return i == 1 || mq && (i == 3 || i == 4)
}

// collect takes back the chains of q, whose room is given: all of them, if the
// device answers each and is not broken.
func collect(d *virtiotest.Driver, q *virtiotest.Queue, room map[uint16]int, answers bool) {
	deadline := time.Now().Add(virtiotest.Patience)
	for {
		broken := d.Status()&virtio.StatusNeedsReset != 0
		for u, ok := q.TryUsed(); ok; u, ok = q.TryUsed() {
			if most, given := room[u.Head]; !given || u.Written > most {
				d.T.Errorf("queue %d: %d bytes used of a chain with room for %d, given: %t", q.Index, u.Written, most, given)
			}
			delete(room, u.Head)
		}
		if broken || !answers || len(room) == 0 {
			return
		}
		if time.Now().After(deadline) {
			d.T.Fatalf("queue %d is stuck: %+v", q.Index, d.Device.Stats())
		}
		time.Sleep(20 * time.Microsecond)
	}
}

// checkSafe checks a frame with its header as a backend gets it.
func checkSafe(t *testing.T, got []byte) {
	t.Helper()
	h, n := readHeader(got), len(got)-net.HeaderSize
	switch {
	case n < 14 || n > net.MaxFrame:
		t.Errorf("a frame of %d bytes", n)
	case h.Flags&^1 != 0 || h.NumBuffers != 0 || int(h.HdrLen) > n:
		t.Errorf("header %+v of a frame of %d", h, n)
	case h.Flags == 1 && int(h.CsumStart)+int(h.CsumOffset)+2 > n:
		t.Errorf("header %+v of a frame of %d: the checksum is behind it", h, n)
	case h.GSOType != 0 && (h.Flags != 1 || h.GSOSize == 0):
		t.Errorf("header %+v: segments that cannot be", h)
	}
}
