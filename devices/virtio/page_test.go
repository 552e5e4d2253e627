package virtio_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
	"microvm/kvm/guestmem"
)

// A still device is an echo whose configuration space changes only by the driver.
type still struct{ virtio.Device }

func (s still) WriteConfig(off int, p []byte) { s.Device.(*echo).WriteConfig(off, p) }

// A pageDevice is a device with the page that its registers are read from.
type pageDevice struct {
	*virtio.MMIO
	page  []byte
	edges chan uint32 // the interrupt status in the page, at each interrupt
	after func()      // each write
}

func newPageDevice(t *testing.T, dev virtio.Device) *pageDevice {
	t.Helper()
	d := &pageDevice{page: make([]byte, virtio.PageSize), edges: make(chan uint32, 100), after: func() {}}
	var err error
	d.MMIO, err = virtio.NewMMIO(dev, virtio.Options{
		Name: "test", Memory: guestmem.NewHeap(guestmem.Range{Size: virtiotest.MemorySize}), Page: d.page,
		Interrupt: func() error {
			d.edges <- d.register(virtiotest.InterruptStatus)
			return nil
		},
		Fail: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Stop()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

func (d *pageDevice) register(reg uint64) uint32 { return binary.LittleEndian.Uint32(d.page[reg:]) }

func (d *pageDevice) write(reg uint64, v uint32) {
	d.WriteIO(reg, binary.LittleEndian.AppendUint32(nil, v))
	d.after()
}

// start begins a session without queues.
func (d *pageDevice) start() {
	d.write(virtiotest.DriverFeaturesSel, 1)
	d.write(virtiotest.DriverFeatures, uint32(virtio.FeatureVersion1>>32))
	for _, s := range []virtio.Status{1, 3, 0xb, 0xf} {
		d.write(virtiotest.StatusReg, uint32(s))
	}
}

func TestShows(t *testing.T) {
	if e := newEcho(); virtio.Shows(e) || !virtio.Shows(still{e}) {
		t.Error("a page for a device that changes its configuration, or none for one that does not")
	}
}

// Whatever the driver writes, in whatever state: the page is what the registers are.
func TestPageIsRegisters(t *testing.T) {
	d := newPageDevice(t, still{newEcho()})
	values := []uint32{0, 1, 2, 3, 4, 8, 0xb, 0xf, 0x80, 0x1000, 0xffffffff}
	states := make(map[virtio.Status]bool)
	d.after = func() {
		states[virtio.Status(d.register(virtiotest.StatusReg))] = true
		for len(d.edges) > 0 {
			<-d.edges
		}
		for off := uint64(0); off < virtio.Size; off += 4 {
			var p [4]byte
			if d.ReadIO(off, p[:]); !bytes.Equal(p[:], d.page[off:off+4]) {
				t.Fatalf("at %#x the page has % x, the register % x", off, d.page[off:off+4], p)
			}
		}
	}
	for range 10000 {
		if rand.IntN(20) == 0 {
			d.start()
		}
		d.write(uint64(rand.IntN(virtio.Size/4))*4, values[rand.IntN(len(values))])
	}
	if len(states) < 5 {
		t.Errorf("only the states %v were tried", states)
	}
}

// A reason that has not come up is not in the interrupt status, however it is read.
func TestReasons(t *testing.T) {
	t.Run("register", TestConfigChanged)
	t.Run("page", TestPageUsedBuffers)
}

// That there are used buffers is in the page from their interrupt until the reset, and
// not before.
func TestPageUsedBuffers(t *testing.T) {
	d := virtiotest.New(t, still{newEcho()})
	for range 2 {
		d.Start(0)
		if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
			t.Errorf("before any buffer: interrupt status %#x", got)
		}
		d.Queues[0].Add(d.Out([]byte("x")), d.In(1))
		d.Queues[0].Notify()
		for began := time.Now(); d.Read32(virtiotest.InterruptStatus) != 1; time.Sleep(time.Millisecond) {
			if time.Since(began) > virtiotest.Patience {
				t.Fatal("the reason is not there")
			}
		}
		d.Write32(virtiotest.InterruptACK, 1)
		if got := d.Read32(virtiotest.InterruptStatus); got != 1 {
			t.Errorf("after an acknowledgement, perhaps of buffers before these: interrupt status %#x", got)
		}
		d.Write32(virtiotest.StatusReg, 0)
		if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
			t.Errorf("after a reset: interrupt status %#x", got)
		}
	}
}

// A change of the configuration is in the page from before its interrupt until it is
// acknowledged.
func TestPageInterruptStatus(t *testing.T) {
	d := newPageDevice(t, still{newEcho()})
	status := func(want uint32, when string) {
		t.Helper()
		if got := d.register(virtiotest.InterruptStatus); got != want {
			t.Errorf("%s: interrupt status %#x, want %#x", when, got, want)
		}
	}
	status(0, "before the session")
	d.WriteIO(virtiotest.Config, []byte("C")) // the configuration is new since the reset
	d.start()
	status(2, "configuration changed")
	if got := <-d.edges; got != 2 {
		t.Errorf("at the interrupt: interrupt status %#x", got)
	}
	d.write(virtiotest.InterruptACK, 1)
	status(2, "another reason acknowledged")
	d.write(virtiotest.InterruptACK, 2)
	status(0, "acknowledged")
}

// A breakdown is in the page before its interrupt, and an old acknowledgement does
// not take it away.
func TestPageBreakdown(t *testing.T) {
	d := newPageDevice(t, still{&breaking{echo: newEcho()}})
	d.start()
	select {
	case got := <-d.edges:
		if got != 2 {
			t.Errorf("at the interrupt: interrupt status %#x", got)
		}
	case <-time.After(virtiotest.Patience):
		t.Fatal("no interrupt")
	}
	d.write(virtiotest.InterruptACK, 3)
	if got := d.register(virtiotest.InterruptStatus); got != 2 {
		t.Errorf("after an acknowledgement: interrupt status %#x", got)
	}
	if got := virtio.Status(d.register(virtiotest.StatusReg)); got&virtio.StatusNeedsReset == 0 {
		t.Errorf("status %v", got)
	}
}

// A breaking device finds at once that its driver breaks a rule.
type breaking struct{ *echo }

func (*breaking) Run(context.Context, *virtio.Session) error {
	return &devices.GuestError{Rule: "a rule", Detail: errors.ErrUnsupported.Error()}
}
