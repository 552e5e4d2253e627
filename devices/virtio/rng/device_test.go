package rng_test

import (
	"bytes"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/rng"
	"microvm/devices/virtio/virtiotest"
)

func TestFillsBuffers(t *testing.T) {
	d := virtiotest.New(t, rng.New())
	d.Start(virtio.FeatureEventIdx)
	a, b := d.In(100), d.In(5000)
	if n := d.Queues[0].Do(a, b); n != 5100 {
		t.Fatalf("wrote %d bytes of 5100", n)
	}
	for _, buf := range []virtiotest.Buffer{a, b} {
		got := d.Bytes(buf.Addr, buf.Len)
		if bytes.Count(got, []byte{0}) > len(got)/20 {
			t.Errorf("too many zeros to be random: % x", got)
		}
	}
}

func TestRate(t *testing.T) {
	d := virtiotest.New(t, rng.New())
	d.Start(0)
	const size = rng.Rate / 4
	room := d.In(size)
	began := time.Now()
	d.Queues[0].Do(room)
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("%d bytes in %v, faster than %d a second", size, took, rng.Rate)
	}
}

func TestResetDuringLongRequest(t *testing.T) {
	d := virtiotest.New(t, rng.New())
	d.Start(0)
	d.Queues[0].Add(d.In(3 << 20))
	d.Queues[0].Notify()
	began := time.Now()
	d.Reset()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a reset took %v", took)
	}
	d.Start(0)
	if n := d.Queues[0].Do(d.In(64)); n != 64 {
		t.Errorf("after the reset %d bytes of 64", n)
	}
}

func TestReadableBufferBreaksDevice(t *testing.T) {
	d := virtiotest.New(t, rng.New())
	d.Start(0)
	d.Queues[0].Add(d.Out([]byte("seed")))
	d.Queues[0].Notify()
	d.AwaitBroken()
	if s := d.Device.Stats(); s.Errors != 1 || s.Error == "" {
		t.Errorf("statistics do not name the broken rule: %+v", s)
	}
}

func TestHostileDriver(t *testing.T) {
	for seed := range uint64(4) {
		virtiotest.Hostile(t, seed, func() virtio.Device { return rng.New() }, func(d *virtiotest.Driver) {
			d.Start(0)
			if n := d.Queues[0].Do(d.In(64)); n != 64 {
				t.Errorf("seed %d: an honest driver got %d bytes", seed, n)
			}
		})
	}
}
