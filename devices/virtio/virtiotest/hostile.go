package virtiotest

import (
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/kvm/guestmem"
)

// Hostile drives the devices that newDevice makes as a driver that wants to do
// harm: chains that loop, overlap, are empty, or lie outside memory, indexes that
// jump, any register at any time, storms of resets. The device must neither
// panic nor hang nor end the machine, keep its goroutines in bounds, and serve
// an honest driver after a reset: honest is called for that.
//
// It makes the same steps for the same seed. Its memory is not the Go heap's:
// a driver that writes what the device is reading is a data race, and meant to
// be one.
func Hostile(t *testing.T, seed uint64, newDevice func() virtio.Device, honest func(d *Driver)) {
	t.Helper()
	before := runtime.NumGoroutine()
	mem, err := guestmem.New(guestmem.Range{Start: 0, Size: MemorySize})
	if err != nil {
		t.Fatal(err)
	}
	d := newDriver(t, newDevice(), mem, NewPage(t))
	a := &attack{Driver: d, rand: rand.New(rand.NewPCG(seed, 0))}
	for range 200 {
		a.session()
	}
	d.Reset()
	honest(d)
	d.Reset()
	for wait := time.Millisecond; runtime.NumGoroutine() > before; wait *= 2 {
		if wait > Patience {
			t.Fatalf("%d goroutines more than before the device", runtime.NumGoroutine()-before)
		}
		time.Sleep(wait)
	}
}

type attack struct {
	*Driver
	rand *rand.Rand
}

// session sets the device up, mostly as one should, and then misuses it.
func (a *attack) session() {
	a.Reset()
	accepted := a.features()
	for i := range uint32(virtio.MaxQueues) {
		a.Write32(QueueSel, i)
		size := a.Read32(QueueNumMax)
		if size == 0 {
			break
		}
		if a.rand.IntN(10) > 0 {
			a.Queues = append(a.Queues, a.AddQueue(i, uint16(size), accepted))
		}
	}
	a.SetStatus(virtio.StatusDriverOK)
	for range 1 + a.rand.IntN(20) {
		if a.rand.IntN(8) == 0 || len(a.Queues) == 0 {
			a.register()
		} else {
			a.chains(a.Queues[a.rand.IntN(len(a.Queues))])
		}
	}
}

// features negotiates all features that are offered, or a random choice.
func (a *attack) features() virtio.Features {
	a.SetStatus(virtio.StatusAcknowledge)
	a.SetStatus(virtio.StatusDriver)
	f := a.Offered()
	if a.rand.IntN(2) == 0 {
		f &= virtio.Features(a.rand.Uint64()) | virtio.FeatureVersion1
	}
	a.Accept(f)
	a.SetStatus(virtio.StatusFeaturesOK)
	return f
}

// register writes and reads a register, or configuration, of any width.
func (a *attack) register() {
	off := uint64(a.rand.IntN(virtio.Size/4)) * 4
	p := make([]byte, []int{1, 2, 4, 4, 4, 8}[a.rand.IntN(6)])
	if off+uint64(len(p)) > virtio.Size {
		return
	}
	a.Device.ReadIO(off, p)
	if a.rand.IntN(2) == 0 { // a small number, as registers have
		p[0] = byte(a.rand.IntN(256))
	} else {
		for i := range p {
			p[i] = byte(a.rand.Uint32())
		}
	}
	a.Device.WriteIO(off, p)
}

// chains puts random descriptors into q, makes some available, and notifies.
func (a *attack) chains(q *Queue) {
	for range 1 + a.rand.IntN(int(q.Size)) {
		q.SetDesc(uint16(a.rand.IntN(int(q.Size))), a.address(), a.length(),
			uint16(a.rand.IntN(8)), uint16(a.rand.IntN(int(q.Size)+1)))
	}
	for range 1 + a.rand.IntN(4) {
		q.AddHead(uint16(a.rand.IntN(int(q.Size) + 1)))
	}
	switch a.rand.IntN(20) {
	case 0: // the index jumps
		q.SetAvailIdx(uint16(a.rand.Uint32()))
	case 1: // the ring is written while the device works
		for range 100 {
			q.SetAvailIdx(q.availIdx + 1)
		}
	}
	a.Write32(QueueNotify, q.Index)
}

// address is mostly one of RAM, and mostly one where a request may lie.
func (a *attack) address() guestmem.Addr {
	switch a.rand.IntN(8) {
	case 0:
		return guestmem.Addr(a.rand.Uint64())
	case 1:
		return MemorySize - guestmem.Addr(a.rand.IntN(32))
	}
	return guestmem.Addr(a.rand.IntN(MemorySize))
}

// length is mostly small.
func (a *attack) length() uint32 {
	switch a.rand.IntN(16) {
	case 0:
		return 0
	case 1:
		return a.rand.Uint32()
	case 2:
		return 1<<32 - 1
	}
	return uint32(a.rand.IntN(4096))
}
