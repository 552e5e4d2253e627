package block_test

import (
	"bytes"
	"fmt"
	"runtime"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/block"
	"microvm/devices/virtio/virtiotest"
	"microvm/kvm/guestmem"
)

const (
	maxDiscard  = 2 << 30 / 512
	maxZeroes   = 64 << 20 / 512
	lastSector  = diskSize / 512
	flagUnmap   = 1
	flagUnknown = 2
)

// A driver's mistakes are answered, and change nothing.
func TestRefusedRequests(t *testing.T) {
	sector := make([]byte, 512)
	for _, tt := range []struct {
		name      string
		head, out []byte
		room      int
		want      byte
	}{
		{"read beyond the end", header(typeIn, lastSector), nil, 512, statusIOErr},
		{"read across the end", header(typeIn, lastSector-1), nil, 1024, statusIOErr},
		{"read at the end of numbers", header(typeIn, 1<<64-1), nil, 512, statusIOErr},
		{"read where bytes wrap", header(typeIn, 1<<55), nil, 512, statusIOErr},
		{"read of a part of a sector", header(typeIn, 0), nil, 511, statusIOErr},
		{"write beyond the end", header(typeOut, lastSector), sector, 0, statusIOErr},
		{"write of a part of a sector", header(typeOut, 0), sector[:100], 0, statusIOErr},
		{"unknown type", header(2, 0), nil, 64, statusUnsupp},
		{"secure erase", header(14, 0), segment(0, 1, 0), 0, statusUnsupp},
		{"lifetime", header(10, 0), nil, 24, statusUnsupp},
		{"type of all bits", header(1<<32-1, 0), nil, 0, statusUnsupp},
		{"discard of no segment", header(typeDiscard, 0), nil, 0, statusIOErr},
		{"discard of half a segment", header(typeDiscard, 0), segment(0, 1, 0)[:8], 0, statusIOErr},
		{"discard of two segments", header(typeDiscard, 0), bytes.Repeat(segment(0, 1, 0), 2), 0, statusIOErr},
		{"discard with unmap", header(typeDiscard, 0), segment(0, 1, flagUnmap), 0, statusUnsupp},
		{"discard with an unknown flag", header(typeDiscard, 0), segment(0, 1, flagUnknown), 0, statusUnsupp},
		{"discard beyond the end", header(typeDiscard, 0), segment(lastSector, 1, 0), 0, statusIOErr},
		{"discard that wraps", header(typeDiscard, 0), segment(1<<64-1, 2, 0), 0, statusIOErr},
		{"discard of too much", header(typeDiscard, 0), segment(0, maxDiscard+1, 0), 0, statusIOErr},
		{"zeroes of two segments", header(typeWriteZeroes, 0), bytes.Repeat(segment(0, 1, 0), 2), 0, statusIOErr},
		{"zeroes with an unknown flag", header(typeWriteZeroes, 0), segment(0, 1, flagUnmap|flagUnknown), 0, statusUnsupp},
		{"zeroes beyond the end", header(typeWriteZeroes, 0), segment(lastSector-1, 2, 0), 0, statusIOErr},
		{"zeroes of too much", header(typeWriteZeroes, 0), segment(0, maxZeroes+1, 0), 0, statusIOErr},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			d := start(t, m, everything)
			s, data := request(t, d, tt.head, tt.out, tt.room)
			if s != tt.want {
				t.Errorf("status %d, want %d", s, tt.want)
			}
			if !bytes.Equal(data, make([]byte, len(data))) {
				t.Error("the driver gets bytes")
			}
			if ops := m.done(); len(ops) != 0 {
				t.Errorf("the image was asked for %+v", ops)
			}
			if s, _ := request(t, d, header(typeIn, 0), nil, 512); s != statusOK {
				t.Errorf("afterwards a read has status %d", s)
			}
		})
	}
}

// Chains that are no requests break the device.
func TestBrokenRequests(t *testing.T) {
	for name, chain := range map[string]func(d *virtiotest.Driver) []virtiotest.Buffer{
		"no header": func(d *virtiotest.Driver) []virtiotest.Buffer { return []virtiotest.Buffer{d.In(512)} },
		"half a header": func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out(make([]byte, 15)), d.In(1)}
		},
		"no status": func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out(header(typeFlush, 0))}
		},
		"write, no status": func(d *virtiotest.Driver) []virtiotest.Buffer {
			return []virtiotest.Buffer{d.Out(header(typeOut, 0)), d.Out(make([]byte, 512))}
		},
		"too much data": func(d *virtiotest.Driver) []virtiotest.Buffer {
			b := []virtiotest.Buffer{d.Out(header(typeIn, 0))}
			room := d.In(2 << 20)
			for range 128 { // the same 2 MiB again and again: more than 254 MiB
				b = append(b, room)
			}
			return append(b, d.In(1))
		},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMemory()
			d := start(t, m, everything)
			d.Queues[0].Add(chain(d)...)
			d.Queues[0].Notify()
			d.AwaitBroken()
			if ops := m.done(); len(ops) != 0 {
				t.Errorf("the image was asked for %+v", ops)
			}
			d.Start(everything)
			if s, _ := request(t, d, header(typeIn, 0), nil, 512); s != statusOK {
				t.Errorf("after a reset a read has status %d", s)
			}
		})
	}
}

// A descriptor that is used again while its request is under way breaks the
// device, and is no request more.
func TestTooManyChains(t *testing.T) {
	m := newMemory()
	stuck := &stuckImage{memory: m}
	d := virtiotest.New(t, virtiotest.Must(block.New(stuck, "", 1)))
	d.Start(0)
	q := d.Queues[0]
	head := q.Add(d.Out(header(typeFlush, 0)), d.In(1))
	for range int(q.Size) - 1 {
		q.AddHead(head)
	}
	q.Notify()
	for len(stuck.started()) < int(q.Size) {
		runtime.Gosched()
	}
	q.AddHead(head)
	d.Write32(virtiotest.QueueNotify, 0)
	d.AwaitBroken()
	if n := len(stuck.started()); n != int(q.Size) {
		t.Errorf("%d requests under way in a queue of %d", n, q.Size)
	}
}

// A stuckImage never gets anything done.
type stuckImage struct{ *memory }

func (m *stuckImage) NewEngine(int, int) (block.Engine, error) { return &stuckEngine{m}, nil }

func (m *stuckImage) started() []block.Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

type stuckEngine struct{ *stuckImage }

func (e *stuckEngine) Start(op *block.Op) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.ops = append(e.ops, block.Op{Kind: op.Kind})
	return false
}
func (*stuckEngine) Submit()         {}
func (*stuckEngine) Done() *block.Op { return nil }

// Requests may be cut into descriptors in any way (virtio-v1.2 §2.7.4).
func TestAnyPieces(t *testing.T) {
	for _, cut := range []int{1, 3, 16, 17, 500} {
		for _, indirect := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d bytes/indirect %t", cut, indirect), func(t *testing.T) {
				m := newMemory()
				d := start(t, m, everything)
				data := bytes.Repeat([]byte("abcdefgh"), 64)
				do(t, d, indirect, chop(d.Out(append(header(typeOut, 3), data...)), max(cut, 3)), d.In(1))
				if !bytes.Equal(m.data[3*512:4*512], data) {
					t.Error("the write is not where it belongs")
				}
				room := d.In(513)
				do(t, d, indirect, chop(d.Out(header(typeIn, 3)), cut), chop(room, max(cut, 3))...)
				if got := d.Bytes(room.Addr, 513); !bytes.Equal(got[:512], data) || got[512] != statusOK {
					t.Errorf("read %q", got)
				}
			})
		}
	}
}

// chop makes buffers of at most n bytes of one.
func chop(b virtiotest.Buffer, n int) (out []virtiotest.Buffer) {
	for ; b.Len > n; b.Len -= n {
		out = append(out, virtiotest.Buffer{Addr: b.Addr, Len: n, Writable: b.Writable})
		b.Addr += guestmem.Addr(n)
	}
	return append(out, b)
}

func do(t *testing.T, d *virtiotest.Driver, indirect bool, out []virtiotest.Buffer, in ...virtiotest.Buffer) {
	t.Helper()
	q := d.Queues[0]
	all := append(out, in...)
	if !indirect {
		q.Do(all...)
		return
	}
	q.AddIndirect(all...)
	q.Notify()
	q.AwaitUsed()
}

// A read-only disk says so, and is not written, by no kind of request.
func TestReadOnly(t *testing.T) {
	m := newMemory()
	m.info.ReadOnly = true
	d := start(t, m, everything)
	if f := d.Offered(); f&fRO == 0 || f&(fDiscard|fWriteZeroes) != 0 {
		t.Errorf("offers %v", f)
	}
	for _, tt := range []struct{ head, out []byte }{
		{header(typeOut, 0), make([]byte, 512)}, {header(typeDiscard, 0), segment(0, 1, 0)}, {header(typeWriteZeroes, 0), segment(0, 1, 0)},
	} {
		if s, _ := request(t, d, tt.head, tt.out, 0); s != statusIOErr {
			t.Errorf("type %d: status %d", tt.head[0], s)
		}
	}
	if ops := m.done(); len(ops) != 0 {
		t.Errorf("the image was asked for %+v", ops)
	}
	if s, _ := request(t, d, header(typeIn, 0), nil, 512); s != statusOK {
		t.Errorf("read: status %d", s)
	}
}

// Discard and zeroes need their feature.
func TestNotNegotiated(t *testing.T) {
	m := newMemory()
	d := start(t, m, fFlush)
	for _, kind := range []uint32{typeDiscard, typeWriteZeroes} {
		if s, _ := request(t, d, header(kind, 0), segment(0, 1, 0), 0); s != statusUnsupp {
			t.Errorf("type %d: status %d", kind, s)
		}
	}
	if ops := m.done(); len(ops) != 0 {
		t.Errorf("the image was asked for %+v", ops)
	}
}

func TestDiscardAndZeroes(t *testing.T) {
	m := newMemory()
	d := start(t, m, everything)
	if s, _ := request(t, d, header(typeDiscard, 0), segment(8, 16, 0), 0); s != statusOK {
		t.Errorf("discard: status %d", s)
	}
	for _, flags := range []uint32{0, flagUnmap} {
		if s, _ := request(t, d, header(typeWriteZeroes, 0), segment(100, 2, flags), 0); s != statusOK {
			t.Errorf("zeroes: status %d", s)
		}
	}
	want := []block.Op{
		{Kind: block.Discard, Off: 8 * 512, Len: 16 * 512},
		{Kind: block.WriteZeroes, Off: 100 * 512, Len: 2 * 512},
		{Kind: block.WriteZeroes, Off: 100 * 512, Len: 2 * 512, Unmap: true},
	}
	checkOps(t, m, want)
	if s, got := request(t, d, header(typeIn, 99), nil, 4*512); s != statusOK || got[511] == 0 || !bytes.Equal(got[512:3*512], make([]byte, 1024)) || got[3*512] == 0 {
		t.Error("the zeroes are not where they belong")
	}
}

// checkOps compares what was done but for the slots.
func checkOps(t *testing.T, m *memory, want []block.Op) {
	t.Helper()
	got := m.done()
	for i := range got {
		got[i].Slot = 0
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("done was\n%+v, want\n%+v", got, want)
	}
}

// When writes are durable follows from features and the writeback field
// (virtio-v1.2 §5.2.6.2).
func TestDurableWrites(t *testing.T) {
	for _, tt := range []struct {
		name          string
		features      virtio.Features
		image         bool // the image's Writeback
		set           int  // the driver writes writeback, -1 for not
		wantWriteback byte
		wantDurable   bool
	}{
		{"no flush", 0, true, -1, 0, true},
		{"no flush, configurable", fConfigWCE, true, -1, 0, true},
		{"no flush, driver insists", fConfigWCE, true, 1, 1, true},
		{"flush", fFlush, true, -1, 1, false},
		{"flush, not configurable, driver tries", fFlush, true, 0, 0, false},
		{"flush, configurable", fFlush | fConfigWCE, true, -1, 1, false},
		{"writethrough wanted", fFlush | fConfigWCE, true, 0, 0, true},
		{"writethrough image", fFlush | fConfigWCE, false, -1, 0, true},
		{"writethrough image, not configurable", fFlush, false, -1, 0, true},
		{"writethrough image, writeback wanted", fFlush | fConfigWCE, false, 1, 1, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory()
			m.info.Writeback = tt.image
			d := start(t, m, tt.features)
			if tt.set >= 0 {
				d.Device.WriteIO(virtiotest.Config+32, []byte{byte(tt.set)})
			}
			if got := d.ReadConfig(32, 1)[0]; got != tt.wantWriteback {
				t.Errorf("writeback is %d", got)
			}
			if s, _ := request(t, d, header(typeOut, 0), make([]byte, 512), 0); s != statusOK {
				t.Fatalf("status %d", s)
			}
			checkOps(t, m, []block.Op{{Kind: block.Write, Len: 512, Durable: tt.wantDurable}})
		})
	}
}

// A driver may change writeback while the device is at its queue. The next write
// is "submitted" with the new value.
func TestWritebackChangesBetweenRequests(t *testing.T) {
	m := newMemory()
	d := start(t, m, fFlush|fConfigWCE)
	q := d.Queues[0]
	write := []virtiotest.Buffer{d.Out(header(typeOut, 0)), d.Out(make([]byte, 512)), d.In(1)}
	m.started = func() {
		m.started = nil
		d.Device.WriteIO(virtiotest.Config+32, []byte{0})
		q.Add(write...)
	}
	q.Add(write...)
	d.Write32(virtiotest.QueueNotify, 0)
	q.AwaitUsed()
	q.AwaitUsed()
	checkOps(t, m, []block.Op{{Kind: block.Write, Len: 512}, {Kind: block.Write, Len: 512, Durable: true}})
}

// A driver that has another request ready whenever one is taken sees answers all
// the same.
func TestRequestsWithoutEnd(t *testing.T) {
	m := newMemory()
	d := start(t, m, 0)
	q := d.Queues[0]
	requests, all := 1, 3*int(q.Size)
	shown := make(chan uint16, 1) // the used index when the last one is under way
	flush := []virtiotest.Buffer{d.Out(header(typeFlush, 0)), d.In(1)}
	m.started = func() {
		if requests < all {
			requests++
			q.Add(flush...)
			return
		}
		index, err := d.Memory.Load16(q.Used + 2)
		if err != nil {
			t.Error(err)
		}
		shown <- index
	}
	q.Add(flush...)
	d.Write32(virtiotest.QueueNotify, 0)
	select {
	case index := <-shown:
		if index == 0 {
			t.Errorf("no answer is shown until the last of %d requests", all)
		}
	case <-time.After(virtiotest.Patience):
		t.Fatal("the device does not take all requests")
	}
}

// A flush is one whatever else the request has.
func TestFlush(t *testing.T) {
	m := newMemory()
	d := start(t, m, everything)
	for _, out := range [][]byte{nil, make([]byte, 512)} {
		if s, _ := request(t, d, header(typeFlush, 5), out, 0); s != statusOK {
			t.Errorf("status %d", s)
		}
	}
	checkOps(t, m, []block.Op{{Kind: block.Flush}, {Kind: block.Flush}})
}

// The configuration space, byte by byte (virtio-v1.2 §5.2.4).
func TestConfiguration(t *testing.T) {
	m := newMemory()
	m.info.BlockSize = 1024
	dev := virtiotest.Must(block.New(m, "", 3))
	d := virtiotest.New(t, dev)
	want := []byte{
		0, 8, 0, 0, 0, 0, 0, 0, // capacity: 2048 sectors
		0, 0, 16, 0, // size_max: 1 MiB
		254, 0, 0, 0, // seg_max
		0, 0, 0, 0, // geometry
		0, 4, 0, 0, // blk_size
		2, 0, 4, 0, 0, 0, 0, 0, // topology: 4 blocks in a physical one
		1, 0, // writeback, unused0
		3, 0, // num_queues
		0, 0, 64, 0, // max_discard_sectors
		1, 0, 0, 0, // max_discard_seg
		8, 0, 0, 0, // discard_sector_alignment
		0, 0, 2, 0, // max_write_zeroes_sectors
		1, 0, 0, 0, // max_write_zeroes_seg
		1, 0, 0, 0, // write_zeroes_may_unmap, unused1
	}
	if got := d.ReadConfig(0, len(want)); !bytes.Equal(got, want) {
		t.Errorf("configuration is\n%v, want\n%v", got, want)
	}
	for i := range want { // nothing can be written but writeback
		d.Device.WriteIO(uint64(virtiotest.Config+i), []byte{0})
	}
	want[32] = 0
	if got := d.ReadConfig(0, len(want)); !bytes.Equal(got, want) {
		t.Errorf("after writes the configuration is\n%v, want\n%v", got, want)
	}
}

func TestFeatures(t *testing.T) {
	const lifetime, secureErase, zoned = 1 << 15, 1 << 16, 1 << 17
	for _, queues := range []int{1, 2} {
		f := virtiotest.Must(block.New(newMemory(), "", queues)).Features()
		if f&fConfigWCE == 0 || f&fFlush == 0 || f&(lifetime|secureErase|zoned|fRO) != 0 || (f&fMQ != 0) != (queues > 1) {
			t.Errorf("%d queues: features %v", queues, f)
		}
	}
}

// Each queue is served, beside the others.
func TestQueues(t *testing.T) {
	m := newMemory()
	d := virtiotest.New(t, virtiotest.Must(block.New(m, "", block.MaxQueues)))
	d.Start(everything)
	if len(d.Queues) != block.MaxQueues {
		t.Fatalf("%d queues", len(d.Queues))
	}
	var rooms []virtiotest.Buffer
	for i, q := range d.Queues {
		room := d.In(513)
		rooms = append(rooms, room)
		q.Add(d.Out(header(typeIn, uint64(i))), room)
		q.Notify()
	}
	for i, q := range d.Queues {
		q.AwaitUsed()
		if got := d.Bytes(rooms[i].Addr, 513); got[0] != byte(i) || got[512] != statusOK {
			t.Errorf("queue %d: data %d, status %d", i, got[0], got[512])
		}
	}
	// One that breaks stops the others.
	d.Queues[3].Add(d.In(1))
	d.Queues[3].Notify()
	d.AwaitBroken()
}

// A driver need not set up any queue, and no engine can be made for none.
func TestNoQueues(t *testing.T) {
	m := newMemory()
	d := virtiotest.New(t, virtiotest.Must(block.New(m, "", 2)))
	d.Negotiate(virtio.FeatureVersion1)
	d.SetStatus(virtio.StatusDriverOK)
	d.Device.Stop() // which waits for it
	if m.engines > 0 {
		t.Errorf("%d engines for no queue", m.engines)
	}
}

// Requests allocate nothing, once each place of the queue was used. The driver of
// the test allocates a little itself when it notifies the device.
func TestNoAllocation(t *testing.T) {
	const requests, drivers = 64, 8
	for _, late := range []bool{false, true} {
		m := newMemory()
		m.late = late
		d := start(t, m, virtio.FeatureEventIdx|fFlush)
		q := d.Queues[0]
		read := []virtiotest.Buffer{d.Out(header(typeIn, 8)), d.In(4096), d.In(1)}
		write := []virtiotest.Buffer{d.Out(header(typeOut, 8)), d.Out(make([]byte, 4096)), d.In(1)}
		round := func() {
			for range requests / 2 {
				q.Add(read...)
				q.Add(write...)
			}
			q.Notify()
			for done := 0; done < requests; {
				if _, ok := q.TryUsed(); ok {
					done++
				} else {
					runtime.Gosched()
				}
			}
		}
		round()
		if n := testing.AllocsPerRun(50, round); n >= drivers {
			t.Errorf("late %t: %v allocations for %d requests", late, n, requests)
		}
	}
}
