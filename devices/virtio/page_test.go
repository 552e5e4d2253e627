package virtio_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
	"microvm/kvm/guestmem"
)

// A pageDevice is a device with the page that its registers are read from.
type pageDevice struct {
	*virtio.MMIO
	page  []byte
	edges chan uint32 // the interrupt status in the page, at each interrupt
	after func()      // each write
}

func newPageDevice(t *testing.T, dev virtio.Device) *pageDevice {
	t.Helper()
	d := &pageDevice{page: virtiotest.NewPage(t), edges: make(chan uint32, 100), after: func() {}}
	var err error
	d.MMIO, err = virtio.NewMMIO(dev, virtio.Options{
		Name: "test", Memory: guestmem.NewHeap(guestmem.Range{Size: virtiotest.MemorySize}), Page: d.page,
		Interrupt: func() error {
			select {
			case d.edges <- d.register(virtiotest.InterruptStatus):
			default: // of so many nobody waits for
			}
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

// Whatever the driver writes, in whatever state: the page is what the registers are.
func TestPageIsRegisters(t *testing.T) {
	d := newPageDevice(t, newEcho())
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

// The reason for used buffers is there while the device runs, that of the
// configuration from before its interrupt until it is acknowledged.
func TestPageInterruptStatus(t *testing.T) {
	e := newEcho()
	d := newPageDevice(t, e)
	status := func(want uint32, when string) {
		t.Helper()
		if got := d.register(virtiotest.InterruptStatus); got != want {
			t.Errorf("%s: interrupt status %#x, want %#x", when, got, want)
		}
	}
	status(0, "before the session")
	d.WriteIO(virtiotest.Config, []byte("C")) // the configuration is new since the reset
	d.start()
	status(3, "configuration changed")
	if got := <-d.edges; got != 3 {
		t.Errorf("at the interrupt: interrupt status %#x", got)
	}
	d.write(virtiotest.InterruptACK, 1)
	status(3, "buffers acknowledged")
	d.write(virtiotest.InterruptACK, 3)
	status(1, "all acknowledged")
	d.write(virtiotest.StatusReg, 0)
	status(0, "after a reset")
}

// interrupted waits for an interrupt, at which the page has an interrupt status.
func (d *pageDevice) interrupted(t *testing.T, status uint32) {
	t.Helper()
	select {
	case got := <-d.edges:
		if got != status {
			t.Errorf("at the interrupt: interrupt status %#x, want %#x", got, status)
		}
	case <-time.After(virtiotest.Patience):
		t.Fatal("no interrupt")
	}
}

// A change of the configuration by the device is in the page before its interrupt, and
// an acknowledgement that comes late is not of it.
func TestPageConfigChange(t *testing.T) {
	e := newEcho()
	d := newPageDevice(t, e)
	d.start()
	before := d.register(virtiotest.ConfigGeneration)
	for _, config := range []string{"CONFIG", "Config"} {
		e.setConfig(config)
		e.changed()
		d.interrupted(t, 3)
		if got := string(d.page[virtiotest.Config:][:len(config)]); got != config {
			t.Errorf("the page has %q, want %q", got, config)
		}
	}
	if after := d.register(virtiotest.ConfigGeneration); after == before {
		t.Error("the generation has not changed")
	}
	for _, want := range []uint32{3, 1, 1} {
		d.write(virtiotest.InterruptACK, 3)
		if got := d.register(virtiotest.InterruptStatus); got != want {
			t.Errorf("after an acknowledgement: interrupt status %#x, want %#x", got, want)
		}
	}
}

// A driver that reads the generation before and after reads a configuration that was.
func TestPageConfigGeneration(t *testing.T) {
	e := newEcho()
	d := newPageDevice(t, e)
	d.start()
	stop := make(chan struct{})
	var changing sync.WaitGroup
	changing.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			case <-d.edges:
			default:
				e.setConfig(strings.Repeat(string(rune('a'+i%26)), 6))
				e.changed()
			}
		}
	})
	seen := make(map[string]bool)
	for began := time.Now(); time.Since(began) < time.Second; {
		before := d.register(virtiotest.ConfigGeneration)
		config := string(d.page[virtiotest.Config:][:6])
		if d.register(virtiotest.ConfigGeneration) != before {
			continue
		}
		if seen[config] = true; config != "config" && config != strings.Repeat(config[:1], 6) {
			t.Errorf("read %q", config)
			break
		}
	}
	close(stop)
	changing.Wait()
	if len(seen) < 3 {
		t.Errorf("read only %v", seen)
	}
}

// The device stops while it has changes to tell.
func TestPageStop(t *testing.T) {
	for range 100 {
		e := newEcho()
		d := newPageDevice(t, e)
		d.start()
		e.changed()
		d.Stop()
		e.changed()
	}
}

// A breakdown is in the page before its interrupt.
func TestPageBreakdown(t *testing.T) {
	d := newPageDevice(t, &breaking{echo: newEcho()})
	d.start()
	d.interrupted(t, 3)
	if got := virtio.Status(d.register(virtiotest.StatusReg)); got&virtio.StatusNeedsReset == 0 {
		t.Errorf("status %v", got)
	}
}

// A breaking device finds at once that its driver breaks a rule.
type breaking struct{ *echo }

func (*breaking) Run(context.Context, *virtio.Session) error {
	return &devices.GuestError{Rule: "a rule", Detail: errors.ErrUnsupported.Error()}
}
