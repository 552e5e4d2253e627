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

// A driver gets no more by resetting the device between requests.
func TestRateAcrossResets(t *testing.T) {
	d := virtiotest.New(t, rng.New())
	const requests, size = 64, 4096
	began := time.Now()
	for range requests {
		d.Start(0)
		d.Queues[0].Do(d.In(size))
	}
	if took := time.Since(began); took < 200*time.Millisecond {
		t.Errorf("%d bytes in %v, faster than %d a second", requests*size, took, rng.Rate)
	}
}

// TestClauses has what virtio-v1.2 §5.4 demands of the device, and of the driver
// where the device can tell.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{"5.4.6.1": 1, "5.4.6.2": 1}, []virtiotest.Clause{
		{Section: "5.4.6.1", Says: "the driver puts nothing readable into the queue", Test: TestReadableBufferBreaksDevice},
		{Section: "5.4.6.2", Says: "a buffer gets one random byte or more", Test: TestFillsBuffers},
	})
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
