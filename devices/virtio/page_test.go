package virtio_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
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
	page   []byte
	mapped atomic.Bool
	edges  chan bool // of each interrupt: the page is in its place
	after  func()    // each write
}

func newPageDevice(t *testing.T, dev virtio.Device) *pageDevice {
	t.Helper()
	d := &pageDevice{page: virtiotest.NewPage(t), edges: make(chan bool, 100), after: func() {}}
	var err error
	d.MMIO, err = virtio.NewMMIO(dev, virtio.Options{
		Name: "test", Memory: guestmem.NewHeap(guestmem.Range{Size: virtiotest.MemorySize}),
		Page: &virtio.Page{Memory: d.page, Map: func(mapped bool) error {
			if d.mapped.Swap(mapped) == mapped {
				t.Errorf("mapped %t twice", mapped)
			}
			return nil
		}},
		Interrupt: func() error {
			select {
			case d.edges <- d.mapped.Load():
			default: // of so many nobody waits for
			}
			return nil
		},
		Fail: func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	d.ShowPage()
	t.Cleanup(func() {
		d.Stop()
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// register reads a register as a driver does.
func (d *pageDevice) register(reg uint64) uint32 {
	p := make([]byte, 4)
	d.read(reg, p)
	return binary.LittleEndian.Uint32(p)
}

func (d *pageDevice) read(off uint64, p []byte) {
	if d.mapped.Load() {
		copy(p, d.page[off:])
	} else {
		d.ReadIO(off, p)
	}
}

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
	var mapped int
	d.after = func() {
		if d.mapped.Load() {
			mapped++
		}
		states[virtio.Status(d.register(virtiotest.StatusReg))] = true
		for len(d.edges) > 0 {
			<-d.edges
		}
		for off := uint64(0); off < virtio.Size; off += 4 {
			var p [4]byte
			if d.ReadIO(off, p[:]); d.mapped.Load() && !bytes.Equal(p[:], d.page[off:off+4]) {
				t.Fatalf("at %#x the page has % x, the register % x", off, d.page[off:off+4], p)
			}
		}
	}
	const writes = 10000
	for range writes {
		if rand.IntN(20) == 0 {
			d.start()
		}
		d.write(uint64(rand.IntN(virtio.Size/4))*4, values[rand.IntN(len(values))])
	}
	if len(states) < 5 {
		t.Errorf("only the states %v were tried", states)
	}
	if mapped < writes/2 {
		t.Errorf("the page was there after %d of %d writes", mapped, writes)
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
	d := virtiotest.New(t, newEcho())
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

// toldOfChange waits for an interrupt, at which the page is out of the way.
func (d *pageDevice) toldOfChange(t *testing.T) {
	t.Helper()
	select {
	case mapped := <-d.edges:
		if mapped {
			t.Error("at the interrupt the page is in its place")
		}
	case <-time.After(virtiotest.Patience):
		t.Fatal("no interrupt")
	}
}

// While there is news of the configuration reads are exits, so that an acknowledgement
// that comes late is not of a change after it.
func TestPageConfigChange(t *testing.T) {
	e := newEcho()
	d := newPageDevice(t, e)
	d.start()
	var before uint32
	for _, config := range []string{"CONFIG", "Config"} {
		before = d.register(virtiotest.ConfigGeneration)
		e.setConfig(config)
		e.changed()
		d.toldOfChange(t)
		if got := d.register(virtiotest.InterruptStatus); got != 2 {
			t.Errorf("interrupt status %#x", got)
		}
		got := make([]byte, len(config))
		if d.read(virtiotest.Config, got); string(got) != config {
			t.Errorf("the configuration is %q, want %q", got, config)
		}
		if d.register(virtiotest.ConfigGeneration) == before {
			t.Error("the generation has not changed")
		}
	}
	e.changed()
	for _, want := range []uint32{2, 0} { // the first of the two was of the changes before
		d.write(virtiotest.InterruptACK, 3)
		if d.mapped.Load() != (want == 0) {
			t.Errorf("mapped %t with interrupt status %#x", d.mapped.Load(), want)
		}
		if got := d.register(virtiotest.InterruptStatus); got != want {
			t.Errorf("after an acknowledgement: interrupt status %#x, want %#x", got, want)
		}
	}
}

// A change that the driver is not told of yet is not read in pieces either.
func TestPageConfigBeforeDriverOK(t *testing.T) {
	e := newEcho()
	d := newPageDevice(t, e)
	before := d.register(virtiotest.ConfigGeneration)
	e.setConfig("CONFIG")
	e.changed()
	got := make([]byte, 6)
	if d.read(virtiotest.Config, got); string(got) != "config" || d.register(virtiotest.ConfigGeneration) != before {
		t.Errorf("the page has %q", got)
	}
	d.write(virtiotest.StatusReg, 0)
	if d.read(virtiotest.Config, got); string(got) != "CONFIG" || d.register(virtiotest.ConfigGeneration) == before {
		t.Errorf("after a write the page has %q, and the generation is %d", got, d.register(virtiotest.ConfigGeneration))
	}
}

// What the driver itself writes to the configuration is in the page, and no change that
// it is told of.
func TestPageConfigWrite(t *testing.T) {
	d := newPageDevice(t, newEcho())
	before := d.register(virtiotest.ConfigGeneration)
	d.WriteIO(virtiotest.Config+1, []byte("O"))
	d.start()
	got := make([]byte, 6)
	if d.read(virtiotest.Config, got); string(got) != "cOnfig" || !d.mapped.Load() {
		t.Errorf("configuration %q, mapped %t", got, d.mapped.Load())
	}
	if d.register(virtiotest.ConfigGeneration) != before || len(d.edges) > 0 {
		t.Error("told of a change")
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
				if d.register(virtiotest.InterruptStatus)&2 != 0 {
					d.write(virtiotest.InterruptACK, 2)
				}
			default:
				e.setConfig(strings.Repeat(string(rune('a'+i%26)), 6))
				e.changed()
			}
		}
	})
	seen := make(map[string]bool)
	for began := time.Now(); time.Since(began) < time.Second; {
		before := d.register(virtiotest.ConfigGeneration)
		var config [6]byte
		d.read(virtiotest.Config, config[:3])
		d.read(virtiotest.Config+3, config[3:])
		if d.register(virtiotest.ConfigGeneration) != before {
			continue
		}
		if s := string(config[:]); s != "config" && s != strings.Repeat(s[:1], 6) {
			t.Errorf("read %q", s)
			break
		}
		seen[string(config[:])] = true
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
		for len(d.edges) > 0 {
			<-d.edges
		}
		if e.changed(); len(d.edges) > 0 {
			t.Fatal("an interrupt of a device that has stopped")
		}
	}
}

// A breakdown is in the status before its interrupt, and in the page when the driver
// has acknowledged that.
func TestPageBreakdown(t *testing.T) {
	d := newPageDevice(t, &breaking{echo: newEcho()})
	d.start()
	d.toldOfChange(t)
	for _, mapped := range []bool{false, true} {
		if d.mapped.Load() != mapped {
			t.Errorf("mapped %t, want %t", d.mapped.Load(), mapped)
		}
		if got := virtio.Status(d.register(virtiotest.StatusReg)); got&virtio.StatusNeedsReset == 0 {
			t.Errorf("status %v", got)
		}
		d.write(virtiotest.InterruptACK, d.register(virtiotest.InterruptStatus))
	}
}

// A breaking device finds at once that its driver breaks a rule.
type breaking struct{ *echo }

func (*breaking) Run(context.Context, *virtio.Session) error {
	return &devices.GuestError{Rule: "a rule", Detail: errors.ErrUnsupported.Error()}
}
