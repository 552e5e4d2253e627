package block_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/block"
	"microvm/devices/virtio/virtiotest"
)

// The protocol as the driver has it (virtio-v1.2 §5.2), written here once more so
// that a wrong number in the device is found.
const (
	typeIn, typeOut, typeFlush, typeGetID, typeDiscard, typeWriteZeroes = 0, 1, 4, 8, 11, 13
	statusOK, statusIOErr, statusUnsupp                                 = 0, 1, 2

	fRO, fFlush, fConfigWCE, fMQ, fDiscard, fWriteZeroes virtio.Features = 1 << 5, 1 << 9, 1 << 11, 1 << 12, 1 << 13, 1 << 14

	// everything is all features that a driver could want.
	everything = ^virtio.Features(0)
)

var le = binary.LittleEndian

// A memory is an image in memory that notes what was done to it.
type memory struct {
	info block.Info
	late bool // operations are done by Done, not by Start

	started func() // is called by Start, if it is not nil

	mu      sync.Mutex
	data    []byte     // guarded by mu, as all below
	ops     []block.Op // done, without their data
	err     error      // what becomes of operations
	closed  bool
	engines int
}

const diskSize = 1 << 20

func newMemory() *memory {
	m := &memory{
		info: block.Info{Size: diskSize, Writeback: true, BlockSize: 512, PhysicalBlock: 4096},
		data: make([]byte, diskSize), ops: make([]block.Op, 0, 64),
	}
	for i := range m.data {
		m.data[i] = byte(i / 512)
	}
	return m
}

func (m *memory) Info() block.Info            { return m.info }
func (m *memory) Describe() []virtio.Property { return nil }
func (m *memory) Close() error                { m.closed = true; return nil }

func (m *memory) NewEngine(int, int) (block.Engine, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.engines++
	return &engine{memory: m}, nil
}

// An engine does operations at once, or when it is asked for them.
type engine struct {
	*memory
	waiting []*block.Op
}

func (e *engine) Start(op *block.Op) bool {
	if e.started != nil {
		e.started()
	}
	if e.late {
		e.waiting = append(e.waiting, op)
		return false
	}
	e.do(op)
	return true
}

func (e *engine) Submit() {}

func (e *engine) Done() *block.Op {
	if len(e.waiting) == 0 {
		return nil
	}
	op := e.waiting[len(e.waiting)-1] // not in the order they came
	e.waiting = e.waiting[:len(e.waiting)-1]
	e.do(op)
	return op
}

func (e *engine) Close() error { return nil }

func (m *memory) do(op *block.Op) {
	m.mu.Lock()
	defer m.mu.Unlock()
	noted := *op
	noted.Data = nil
	if len(m.ops) < cap(m.ops) {
		m.ops = append(m.ops, noted)
	}
	if op.Err = m.err; op.Err != nil {
		return
	}
	at := m.data[op.Off : op.Off+op.Len]
	switch op.Kind {
	case block.Read:
		for _, p := range op.Data {
			at = at[copy(p, at):]
		}
	case block.Write:
		for _, p := range op.Data {
			at = at[copy(at, p):]
		}
	case block.WriteZeroes, block.Discard:
		clear(at)
	}
}

// done returns the operations that were done since the last call.
func (m *memory) done() []block.Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	ops := slices.Clone(m.ops)
	m.ops = m.ops[:0]
	return ops
}

// header is how a request begins.
func header(kind uint32, sector uint64) []byte {
	b := le.AppendUint32(nil, kind)
	b = le.AppendUint32(b, 0)
	return le.AppendUint64(b, sector)
}

// segment is a range to discard or to zero.
func segment(sector uint64, sectors, flags uint32) []byte {
	b := le.AppendUint64(nil, sector)
	b = le.AppendUint32(b, sectors)
	return le.AppendUint32(b, flags)
}

// start puts a disk of m with its driver.
func start(t testing.TB, m *memory, wanted virtio.Features) *virtiotest.Driver {
	t.Helper()
	d := virtiotest.New(t, virtiotest.Must(block.New(m, "serial", 1)))
	d.Start(wanted)
	return d
}

// request does a request with out for the device to read and room for n bytes
// of data, and returns its status and the data.
func request(t testing.TB, d *virtiotest.Driver, head, out []byte, n int) (status byte, data []byte) {
	t.Helper()
	buffers := []virtiotest.Buffer{d.Out(head)}
	if len(out) > 0 {
		buffers = append(buffers, d.Out(out))
	}
	room := d.In(n + 1)
	for i := range d.Bytes(room.Addr, n+1) {
		d.Bytes(room.Addr, n+1)[i] = 0xee
	}
	if written := d.Queues[0].Do(append(buffers, room)...); written != n+1 {
		t.Errorf("%d bytes written of %d", written, n+1)
	}
	b := d.Bytes(room.Addr, n+1)
	return b[n], b[:n]
}

func TestReadWrite(t *testing.T) {
	for _, late := range []bool{false, true} {
		m := newMemory()
		m.late = late
		d := start(t, m, everything)
		want := bytes.Repeat([]byte("0123456789abcdef"), 64)
		if s, _ := request(t, d, header(typeOut, 7), want, 0); s != statusOK {
			t.Fatalf("write: status %d", s)
		}
		if !bytes.Equal(m.data[7*512:9*512], want) || m.data[7*512-1] != 6 || m.data[9*512] != 9 {
			t.Error("the write is not where it belongs")
		}
		if s, got := request(t, d, header(typeIn, 7), nil, 1024); s != statusOK || !bytes.Equal(got, want) {
			t.Errorf("read: status %d, %q", s, got)
		}
		if s, got := request(t, d, header(typeIn, diskSize/512-1), nil, 512); s != statusOK || got[511] != 0xff {
			t.Errorf("read of the last sector: status %d", s)
		}
	}
}

func TestGetID(t *testing.T) {
	d := start(t, newMemory(), everything)
	if s, id := request(t, d, header(typeGetID, 0), nil, 20); s != statusOK || string(id) != "serial"+string(make([]byte, 14)) {
		t.Errorf("status %d, id %q", s, id)
	}
	if s, _ := request(t, d, header(typeGetID, 0), nil, 19); s != statusIOErr {
		t.Errorf("19 bytes of room: status %d", s)
	}
}

var errDisk = errors.New("the disk is broken")

// A failed read gives the driver no byte that was there before, and no byte of
// the image.
func TestImageFails(t *testing.T) {
	m := newMemory()
	d := start(t, m, everything)
	m.err = errDisk
	s, data := request(t, d, header(typeIn, 1), nil, 512)
	if s != statusIOErr || !bytes.Equal(data, make([]byte, 512)) {
		t.Errorf("read: status %d, data %x", s, data[:8])
	}
	if s, _ := request(t, d, header(typeOut, 1), make([]byte, 512), 0); s != statusIOErr {
		t.Errorf("write: status %d", s)
	}
	if s, _ := request(t, d, header(typeFlush, 0), nil, 0); s != statusIOErr {
		t.Errorf("flush: status %d", s)
	}
	m.err = errors.ErrUnsupported
	if s, _ := request(t, d, header(typeDiscard, 0), segment(0, 1, 0), 0); s != statusUnsupp {
		t.Errorf("discard: status %d", s)
	}
}

// Why the image failed is in the statistics: a driver can be told only that it
// did. A request that the guest should not have made is no failure of the image.
func TestLastError(t *testing.T) {
	m := newMemory()
	dev := virtiotest.Must(block.New(m, "serial", 1))
	d := virtiotest.New(t, dev)
	d.Start(everything)
	lastError := func() any {
		for _, p := range dev.Describe() {
			if p.Name == "last error" {
				return p.Value
			}
		}
		return nil
	}
	if s, _ := request(t, d, header(typeIn, 1<<60), nil, 512); s != statusIOErr || lastError() != nil {
		t.Errorf("beyond the end: status %d, last error %v", s, lastError())
	}
	m.err = errDisk
	if s, _ := request(t, d, header(typeOut, 1), make([]byte, 512), 0); s != statusIOErr || lastError() != errDisk.Error() {
		t.Errorf("write: status %d, last error %v", s, lastError())
	}
}

// What a disk cannot be is an error, and the image stays its owner's.
func TestNotADisk(t *testing.T) {
	for _, tt := range []struct {
		id     string
		queues int
		want   string
	}{
		{strings.Repeat("x", block.MaxID+1), 1, "has 21 bytes; it can have 20"},
		{"", 0, "0 queues"},
		{"", block.MaxQueues + 1, "there can be 1 to"},
	} {
		if _, err := block.New(newMemory(), tt.id, tt.queues); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q with %d queues: %v, want one that says %q", tt.id, tt.queues, err, tt.want)
		}
	}
}
