package virtio_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

const ringFeatures = virtio.FeatureIndirectDesc | virtio.FeatureEventIdx

func TestRegisters(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	for reg, want := range map[uint64]uint32{
		virtiotest.MagicValue: 0x74726976, virtiotest.Version: 2, virtiotest.DeviceID: 42,
		virtiotest.StatusReg: 0, virtiotest.InterruptStatus: 0, virtiotest.QueueReady: 0,
		virtiotest.QueueNumMax: 8,
		0x0b0:                  0xffffffff, 0x0b4: 0xffffffff, // no shared memory
		0x01c: 0, // no register
	} {
		if got := d.Read32(reg); got != want {
			t.Errorf("register %#x: %#x, want %#x", reg, got, want)
		}
	}
	for queue, want := range []uint32{8, 4, 0} {
		d.Write32(virtiotest.QueueSel, uint32(queue))
		if got := d.Read32(virtiotest.QueueNumMax); got != want {
			t.Errorf("queue %d: size %d, want %d", queue, got, want)
		}
	}
}

func TestRegisterWidth(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	for _, n := range []int{1, 2, 8} {
		p := bytes.Repeat([]byte{0xff}, n)
		d.Device.ReadIO(virtiotest.MagicValue, p)
		if !bytes.Equal(p, make([]byte, n)) {
			t.Errorf("%d bytes of a register: % x", n, p)
		}
		d.Device.WriteIO(virtiotest.StatusReg, append([]byte{1}, make([]byte, n-1)...))
		if d.Status() != 0 {
			t.Errorf("a write of %d bytes changed the status", n)
		}
	}
}

func TestFeatures(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	want := featureA | featureB | ringFeatures | virtio.FeatureVersion1
	if got := d.Offered(); got != want {
		t.Errorf("offered %v, want %v", got, want)
	}
	d.Write32(virtiotest.DeviceFeaturesSel, 2)
	if got := d.Read32(virtiotest.DeviceFeatures); got != 0 {
		t.Errorf("features from bit 64 on: %#x", got)
	}
}

func TestFeaturesRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		f    virtio.Features
	}{
		{"not offered", virtio.FeatureVersion1 | 1<<5},
		{"without VERSION_1", featureA},
		{"one without another that it needs", virtio.FeatureVersion1 | featureB},
	} {
		d := virtiotest.New(t, newEcho())
		d.SetStatus(virtio.StatusAcknowledge)
		d.SetStatus(virtio.StatusDriver)
		d.Accept(tt.f)
		d.SetStatus(virtio.StatusFeaturesOK)
		if d.Status()&virtio.StatusFeaturesOK != 0 {
			t.Errorf("%s: features are OK", tt.name)
		}
		if d.Device.Stats().Refused == "" {
			t.Errorf("%s: the statistics do not say why", tt.name)
		}
	}
}

func TestFeaturesStandAfterFeaturesOK(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Start(featureA)
	d.Accept(featureA | featureB | virtio.FeatureVersion1)
	d.Queues[0].Do(d.Out([]byte("x")), d.In(1))
	if s := <-e.session; s.Has(featureB) || !s.Has(featureA) {
		t.Errorf("the session has %v", s.Features)
	}
	if d.Device.Stats().Errors == 0 {
		t.Error("no broken rule is counted")
	}
}

func TestStatusOrder(t *testing.T) {
	for _, tt := range []struct {
		name   string
		writes []virtio.Status
		want   virtio.Status
	}{
		{"DRIVER first", []virtio.Status{virtio.StatusDriver}, 0},
		{"ACKNOWLEDGE and DRIVER at once", []virtio.Status{3}, 3},
		{"DRIVER_OK first", []virtio.Status{virtio.StatusDriverOK}, 0},
		{"DRIVER_OK before FEATURES_OK", []virtio.Status{1, 3, 7}, 3},
		{"a bit is cleared", []virtio.Status{1, 3, 2}, 3},
		{"a bit that is none", []virtio.Status{1, 1 | 1<<4}, 1},
		{"the device's own bit", []virtio.Status{1, 1 | virtio.StatusNeedsReset}, 1},
		{"the guest gives up", []virtio.Status{1, 1 | virtio.StatusFailed}, 1 | virtio.StatusFailed},
		{"reset", []virtio.Status{1, 3, 0}, 0},
	} {
		d := virtiotest.New(t, newEcho())
		for _, w := range tt.writes {
			d.Write32(virtiotest.StatusReg, uint32(w))
		}
		if got := d.Status(); got != tt.want {
			t.Errorf("%s: status %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Only 0 resets a device, and not a number whose low byte is 0.
func TestStatusBeyondItsBits(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	d.SetStatus(virtio.StatusAcknowledge)
	d.Write32(virtiotest.StatusReg, 1<<8)
	if got, errors := d.Status(), d.Device.Stats().Errors; got != virtio.StatusAcknowledge || errors != 1 {
		t.Errorf("status %v, %d broken rules", got, errors)
	}
}

func TestEcho(t *testing.T) {
	for _, f := range []virtio.Features{0, virtio.FeatureEventIdx, ringFeatures} {
		d := virtiotest.New(t, newEcho())
		d.Start(f)
		for i := range 100 {
			text := bytes.Repeat([]byte{byte(i)}, 1+i%20)
			in := d.In(len(text))
			if n := d.Queues[0].Do(d.Out(text), in); n != len(text) || !bytes.Equal(d.Bytes(in.Addr, n), text) {
				t.Fatalf("features %v, request %d: %d bytes", f, i, n)
			}
		}
		q := d.Device.Stats().Queues[0]
		if q.Chains != 100 || q.Interrupts == 0 || q.Wakeups == 0 {
			t.Errorf("counts %+v", q)
		}
	}
}

// With RING_PACKED negotiated the queues are packed. The last two fields of a
// descriptor are then the buffer's ID and the flags (virtio-v1.2 §2.8.13).
func TestPackedRing(t *testing.T) {
	const (
		available = 1 << 7
		used      = 1<<7 | 1<<15
		id        = 7
	)
	interrupts := make(chan struct{}, 1)
	memory := guestmem.NewHeap(guestmem.Range{Start: 0, Size: virtiotest.MemorySize})
	m, err := virtio.NewMMIO(newEcho(), virtio.Options{
		Name: "test", Memory: memory, Packed: true,
		Interrupt: func() error { interrupts <- struct{}{}; return nil },
		Fail:      func(err error) { t.Error(err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Stop(); m.Close() })
	d := &virtiotest.Driver{T: t, Device: m, Memory: memory}
	accepted := d.Negotiate(virtio.FeatureRingPacked | virtio.FeatureVersion1)
	q := d.AddQueue(0, 8, accepted)
	out, in := d.Out([]byte("echo")), d.In(4)
	q.SetDesc(1, in.Addr, 4, id, virtiotest.Write|available)
	q.SetDesc(0, out.Addr, 4, 0, 0)
	d.SetStatus(virtio.StatusDriverOK) // from here on the device looks at the flags
	if err := memory.Store16(q.Desc+14, virtiotest.Next|available); err != nil {
		t.Fatal(err)
	}
	d.Write32(virtiotest.QueueNotify, 0)
	select {
	case <-interrupts:
	case <-time.After(virtiotest.Patience):
		t.Fatalf("no interrupt came: %+v", m.Stats())
	}
	if flags, err := memory.Load16(q.Desc + 14); flags != used|virtiotest.Write || err != nil {
		t.Errorf("flags %#x of the used descriptor, %v", flags, err)
	}
	if got := d.Bytes(q.Desc+8, 6); !bytes.Equal(got, []byte{4, 0, 0, 0, id, 0}) {
		t.Errorf("length and ID % x of the used descriptor", got)
	}
	if got := d.Bytes(in.Addr, 4); string(got) != "echo" {
		t.Errorf("the answer is %q", got)
	}
}

// Before DRIVER_OK the device does not look at the queues.
func TestNothingBeforeDriverOK(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	accepted := d.Negotiate(virtio.FeatureVersion1)
	q := d.AddQueue(0, 8, accepted)
	q.Add(d.Out([]byte("early")), d.In(5))
	q.Notify()
	if len(e.session) > 0 || d.Read32(virtiotest.InterruptStatus) != 0 {
		t.Error("the device runs")
	}
	d.SetStatus(virtio.StatusDriverOK)
	if u := q.AwaitUsed(); u.Written != 5 {
		t.Errorf("wrote %d bytes of what came before DRIVER_OK", u.Written)
	}
}

func TestReset(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	for range 50 {
		d.Start(ringFeatures)
		d.Queues[0].Do(d.Out([]byte("x")), d.In(1))
		d.Queues[0].Add(d.Out([]byte("y")), d.In(1)) // under load
		d.Queues[0].Notify()
		d.Write32(virtiotest.StatusReg, 0)
		if n := e.running.Load(); n != 0 {
			t.Fatalf("after the reset %d sessions run", n)
		}
		used := d.Bytes(d.Queues[0].Used, 8)
		before := bytes.Clone(used)
		if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
			t.Errorf("interrupt status %#x after a reset", got)
		}
		for q := range uint32(2) {
			d.Write32(virtiotest.QueueSel, q)
			if d.Read32(virtiotest.QueueReady) != 0 {
				t.Errorf("queue %d is ready after a reset", q)
			}
		}
		d.Queues[0].Add(d.Out([]byte("z")), d.In(1))
		d.Write32(virtiotest.QueueNotify, 0)
		if !bytes.Equal(used, before) {
			t.Error("the device uses the ring after a reset")
		}
	}
	if got := d.Device.Stats().Sessions; got != 50 {
		t.Errorf("%d sessions", got)
	}
}

// A lateTaker looks for a chain when its session has ended.
type lateTaker struct {
	*echo
	got chan error
}

func (l *lateTaker) Run(ctx context.Context, s *virtio.Session) error {
	<-ctx.Done()
	err := s.Queues[0].Next(ctx, new(virtq.Chain))
	l.got <- err
	return err
}

// A driver that always has a chain ready does not keep the device from its reset.
func TestResetBeforeChains(t *testing.T) {
	l := &lateTaker{newEcho(), make(chan error, 1)}
	d := virtiotest.New(t, l)
	d.Start(0)
	d.Queues[0].Add(d.Out([]byte("x")), d.In(1))
	d.Reset()
	if err := <-l.got; !errors.Is(err, context.Canceled) {
		t.Errorf("after the reset a chain is taken, %v", err)
	}
}

func TestBrokenQueueNeedsReset(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	d.Start(0)
	d.Queues[0].AddHead(1000)
	d.Queues[0].Notify()
	d.AwaitBroken()
	s := d.Device.Stats()
	if s.Errors != 1 || !strings.Contains(s.Error, "virtio-v1.2 §") {
		t.Errorf("statistics %+v name no rule", s)
	}
	d.Start(0)
	if n := d.Queues[0].Do(d.Out([]byte("again")), d.In(5)); n != 5 {
		t.Errorf("after a reset it wrote %d bytes", n)
	}
}

// The driver is told by a configuration change that the device needs a reset.
func TestNeedsResetNotifies(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	d.Start(0)
	d.Queues[0].AddHead(1000)
	d.Queues[0].Notify()
	if reasons := d.AwaitInterrupt(); reasons&2 == 0 || d.Status()&virtio.StatusNeedsReset == 0 {
		t.Errorf("reasons %#x, status %v", reasons, d.Status())
	}
}

func TestQueuesThatCannotBe(t *testing.T) {
	for _, tt := range []struct {
		name string
		set  func(d *virtiotest.Driver)
	}{
		{"larger than the maximum", func(d *virtiotest.Driver) { d.Write32(virtiotest.QueueNum, 16) }},
		{"larger than 16 bits", func(d *virtiotest.Driver) { d.Write32(virtiotest.QueueNum, 1<<16+8) }},
		{"of no entries", func(d *virtiotest.Driver) { d.Write32(virtiotest.QueueNum, 0) }},
		{"of 3 entries", func(d *virtiotest.Driver) { d.Write32(virtiotest.QueueNum, 3) }},
		{"not in RAM", func(d *virtiotest.Driver) { d.Write32(virtiotest.QueueDescLow+4, 1) }},
	} {
		d := virtiotest.New(t, newEcho())
		accepted := d.Negotiate(virtio.FeatureVersion1)
		d.AddQueue(0, 8, accepted)
		d.Write32(virtiotest.QueueReady, 0)
		tt.set(d)
		d.Write32(virtiotest.QueueReady, 1)
		d.SetStatus(virtio.StatusDriverOK)
		if d.Status()&virtio.StatusNeedsReset == 0 {
			t.Errorf("%s: status %v", tt.name, d.Status())
		}
	}
}

func TestReadyQueueStands(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	d.Negotiate(virtio.FeatureVersion1)
	q := d.AddQueue(0, 8, 0)
	d.Write32(virtiotest.QueueNum, 3)
	d.Write32(virtiotest.QueueDescLow, 0xffff0000)
	d.SetStatus(virtio.StatusDriverOK)
	d.Queues = append(d.Queues, q)
	if n := q.Do(d.Out([]byte("same")), d.In(4)); n != 4 {
		t.Errorf("wrote %d bytes", n)
	}
}

func TestQueueTakenFromRunningDevice(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Start(0)
	d.Write32(virtiotest.QueueSel, 1)
	d.Write32(virtiotest.QueueReady, 0)
	if d.Read32(virtiotest.QueueReady) != 0 || e.running.Load() != 0 || d.Status()&virtio.StatusNeedsReset == 0 {
		t.Errorf("ready %d, %d sessions, status %v", d.Read32(virtiotest.QueueReady), e.running.Load(), d.Status())
	}
}

func TestQueueSetUpLate(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	accepted := d.Negotiate(virtio.FeatureVersion1)
	q := d.AddQueue(0, 8, accepted)
	d.SetStatus(virtio.StatusDriverOK)
	d.AddQueue(1, 4, accepted)
	if d.Read32(virtiotest.QueueReady) != 0 {
		t.Error("a queue became ready while the device runs")
	}
	if n := q.Do(d.Out([]byte("on")), d.In(2)); n != 2 {
		t.Errorf("wrote %d bytes", n)
	}
}

func TestNotifyOfNoQueue(t *testing.T) {
	d := virtiotest.New(t, newEcho())
	d.Start(0)
	for _, q := range []uint32{1, 2, 64, 1 << 31, 0xffffffff} {
		d.Write32(virtiotest.QueueNotify, q)
	}
	if n := d.Queues[0].Do(d.Out([]byte("on")), d.In(2)); n != 2 {
		t.Errorf("wrote %d bytes", n)
	}
}

func TestConfig(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	if got := string(d.ReadConfig(0, 6)); got != "config" { // before FEATURES_OK
		t.Errorf("configuration %q", got)
	}
	p := []byte{1, 1, 1, 1}
	d.Device.ReadIO(virtiotest.Config+4, p) // across its end
	if string(p) != "ig\x00\x00" {
		t.Errorf("% x across the end", p)
	}
	d.Device.ReadIO(virtio.Size-4, p)
	if !bytes.Equal(p, make([]byte, 4)) {
		t.Errorf("% x behind the end", p)
	}
	d.Device.WriteIO(virtiotest.Config+1, []byte("O"))
	d.Device.WriteIO(virtiotest.Config+5, []byte("XX")) // across its end
	if got := string(d.ReadConfig(0, 6)); got != "cOnfig" {
		t.Errorf("configuration %q after writes", got)
	}
}

func TestConfigGeneration(t *testing.T) {
	e := newEcho()
	d := virtiotest.NewWithoutPage(t, e)
	g := d.Read32(virtiotest.ConfigGeneration)
	d.ReadConfig(0, 3)
	if d.Read32(virtiotest.ConfigGeneration) != g {
		t.Error("the generation changed and the configuration did not")
	}
	e.setConfig("change")
	d.ReadConfig(3, 3)
	if d.Read32(virtiotest.ConfigGeneration) == g {
		t.Error("a driver that read half of it before and half after does not notice")
	}
}

func TestConfigChanged(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Start(0)
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x before a change", got)
	}
	e.changed() // perhaps before Run
	if reasons := d.AwaitInterrupt(); reasons != 2 {
		t.Errorf("reasons %#x", reasons)
	}
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x after the acknowledgement", got)
	}
	d.Reset()
	e.changed()
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x of a device that was reset", got)
	}
}

// A change that comes after the driver has read the configuration, and before
// DRIVER_OK, is announced then, and not once more in the next session.
func TestConfigChangedEarly(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Negotiate(virtio.FeatureVersion1)
	d.ReadConfig(0, 3)
	e.setConfig("CONFIG")
	e.changed()
	d.ReadConfig(3, 3)
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x before DRIVER_OK", got)
	}
	for _, want := range []uint32{2, 0} {
		d.SetStatus(virtio.StatusDriverOK)
		if got := d.Read32(virtiotest.InterruptStatus); got != want {
			t.Errorf("interrupt status %#x after DRIVER_OK, want %#x", got, want)
		}
		d.Negotiate(virtio.FeatureVersion1)
	}
}

// Only what the driver has seen is acknowledged.
func TestInterruptAcknowledge(t *testing.T) {
	e := newEcho()
	d := virtiotest.NewWithoutPage(t, e)
	d.Start(0)
	e.changed()
	d.Queues[0].Add(d.Out([]byte("x")), d.In(1))
	d.Queues[0].Notify()
	for d.Read32(virtiotest.InterruptStatus) != 3 {
		time.Sleep(time.Millisecond)
	}
	d.Write32(virtiotest.InterruptACK, 1)
	if got := d.Read32(virtiotest.InterruptStatus); got != 2 {
		t.Errorf("interrupt status %#x", got)
	}
}

// An acknowledgement that arrives late does not take with it what came since
// the driver read the status.
func TestLateAcknowledge(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Start(0)
	e.changed()
	if got := d.Read32(virtiotest.InterruptStatus); got != 2 {
		t.Fatalf("interrupt status %#x", got)
	}
	e.changed()
	d.Write32(virtiotest.InterruptACK, 2)
	if got := d.Read32(virtiotest.InterruptStatus); got != 2 {
		t.Errorf("interrupt status %#x: the second change is lost", got)
	}
	d.Write32(virtiotest.InterruptACK, 2)
	if got := d.Read32(virtiotest.InterruptStatus); got != 0 {
		t.Errorf("interrupt status %#x", got)
	}
}

func TestErrorOfHostEndsMachine(t *testing.T) {
	e := newEcho()
	e.fail = errors.New("the host's disk is gone")
	d := virtiotest.New(t, e)
	d.Start(0)
	if err := <-d.Failed; !errors.Is(err, e.fail) {
		t.Errorf("the machine ended because %v", err)
	}
}

func TestErrorOfGuestDoesNot(t *testing.T) {
	e := newEcho()
	e.fail = &devices.GuestError{Rule: "virtio-v1.2 §5", Detail: "wrong"}
	d := virtiotest.New(t, e)
	d.Start(0)
	d.AwaitBroken()
}

// After Stop no driver gets the device going.
func TestStop(t *testing.T) {
	e := newEcho()
	d := virtiotest.New(t, e)
	d.Start(0)
	d.Device.Stop()
	if e.running.Load() != 0 {
		t.Error("a session runs")
	}
	d.Start(0)
	if e.running.Load() != 0 {
		t.Error("a session began")
	}
}
