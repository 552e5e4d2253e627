package virtq_test

import (
	"testing"

	"microvm/devices/virtio/virtq"
)

const (
	availEvent = usedAt + 4 + 8*size
	usedEvent  = availAt + 4 + 2*size
)

// pop takes n chains, each of one writable buffer.
func (r *ring) pop(n int) []virtq.Chain {
	r.t.Helper()
	r.put(descAt, desc{dataAt, 16, write, 0})
	idx := r.load(availAt + 2)
	for range n {
		le.PutUint16(r.bytes(availAt+4+2*uintAddr(idx%size), 2), 0)
		idx++
	}
	r.store(availAt+2, idx)
	chains := make([]virtq.Chain, n)
	for i := range chains {
		if ok, err := r.Pop(&chains[i]); !ok || err != nil {
			r.t.Fatal(ok, err)
		}
	}
	return chains
}

func TestPushAndPublish(t *testing.T) {
	r := newRing(t, virtq.Config{})
	for round := range 3 { // around the ring
		chains := r.pop(size)
		for i := range chains {
			r.Push(&chains[i], 10+i)
		}
		if got := r.load(usedAt + 2); got != uint16(round*size) {
			t.Errorf("index %d before Publish", got)
		}
		if !r.Publish() {
			t.Error("no interrupt, though the driver wants each")
		}
		if got := r.load(usedAt + 2); got != uint16((round+1)*size) {
			t.Errorf("index %d after Publish", got)
		}
		for i := range size {
			e := r.bytes(usedAt+4+8*uintAddr(uint16(i)), 8)
			if id, n := le.Uint32(e), le.Uint32(e[4:]); id != 0 || n != uint32(10+i) {
				t.Errorf("element %d: chain %d, %d bytes", i, id, n)
			}
		}
		if r.Publish() {
			t.Error("an interrupt for nothing")
		}
	}
}

func TestInterruptSuppressed(t *testing.T) {
	r := newRing(t, virtq.Config{})
	r.store(usedEvent, 0) // without EVENT_IDX it means nothing
	c := r.pop(2)
	r.store(availAt, 1) // VIRTQ_AVAIL_F_NO_INTERRUPT
	r.Push(&c[0], 0)
	if r.Publish() {
		t.Error("an interrupt that the driver does not want")
	}
	r.store(availAt, 0)
	r.Push(&c[1], 0)
	if !r.Publish() {
		t.Error("no interrupt")
	}
}

func TestInterruptByEventIdx(t *testing.T) {
	for _, tt := range []struct {
		event uint16
		push  int
		want  bool
	}{
		{0, 1, true},
		{0, 5, true},
		{1, 1, false},
		{4, 5, true},
		{5, 5, false},
		{0xffff, 5, false}, // long ago
	} {
		r := newRing(t, virtq.Config{EventIdx: true})
		r.store(availAt, 1) // with EVENT_IDX it means nothing
		r.store(usedEvent, tt.event)
		c := r.pop(tt.push)
		for i := range c {
			r.Push(&c[i], 0)
		}
		if got := r.Publish(); got != tt.want {
			t.Errorf("used_event %d, %d pushed: interrupt %t", tt.event, tt.push, got)
		}
	}
}

// The index and the event wrap at 2^16.
func TestInterruptByEventIdxWraps(t *testing.T) {
	r := newRing(t, virtq.Config{EventIdx: true})
	for i := range 1<<16 + 3 {
		r.store(usedEvent, uint16(i)) // the next one
		c := r.pop(1)
		r.Push(&c[0], 0)
		if !r.Publish() {
			t.Fatalf("no interrupt for element %d", i)
		}
	}
}

func TestNotify(t *testing.T) {
	r := newRing(t, virtq.Config{})
	r.DisableNotify()
	if r.load(usedAt) != 1 {
		t.Error("the driver is not told that it need not notify")
	}
	if r.EnableNotify() {
		t.Error("a chain is pending, but there is none")
	}
	if r.load(usedAt) != 0 {
		t.Error("the driver is not told to notify")
	}
	r.avail(0)
	if !r.EnableNotify() {
		t.Error("the chain that came before is not seen")
	}
}

func TestNotifyByEventIdx(t *testing.T) {
	r := newRing(t, virtq.Config{EventIdx: true})
	r.pop(3)
	r.DisableNotify()
	if r.load(usedAt) != 0 {
		t.Error("flags are not 0 with EVENT_IDX")
	}
	if r.EnableNotify() {
		t.Error("a chain is pending, but there is none")
	}
	if got := r.load(availEvent); got != 3 {
		t.Errorf("a notification of chain %d is wanted, not of 3", got)
	}
	if r.load(usedAt) != 0 {
		t.Error("flags are not 0 with EVENT_IDX")
	}
}
