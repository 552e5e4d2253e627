package virtq_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"microvm/devices"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

var le = binary.LittleEndian

// Where the tests' queue of size entries lies, and memory for buffers.
const (
	size       = 8
	descAt     = 0x1000
	availAt    = 0x2000
	usedAt     = 0x3000
	indirectAt = 0x4000
	dataAt     = 0x5000
	memorySize = 0x10000
)

// Flags of a descriptor.
const (
	next     = 1
	write    = 2
	indirect = 4
)

type desc struct {
	addr        guestmem.Addr
	len         uint32
	flags, next uint16
}

// A ring is a queue and the driver's view of its memory.
type ring struct {
	t   *testing.T
	mem *guestmem.Memory
	virtq.Queue
}

func newRing(t *testing.T, c virtq.Config) *ring {
	t.Helper()
	mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: memorySize})
	c.Size, c.Desc, c.Driver, c.Device = size, descAt, availAt, usedAt
	q, err := virtq.New(mem, c)
	if err != nil {
		t.Fatal(err)
	}
	return &ring{t, mem, q}
}

func (r *ring) bytes(a guestmem.Addr, n int) []byte {
	r.t.Helper()
	b, err := r.mem.Slice(a, uint64(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// put writes descriptors into a table.
func (r *ring) put(table guestmem.Addr, ds ...desc) {
	r.t.Helper()
	for i, d := range ds {
		b := r.bytes(table+guestmem.Addr(16*i), 16)
		le.PutUint64(b, uint64(d.addr))
		le.PutUint32(b[8:], d.len)
		le.PutUint16(b[12:], d.flags)
		le.PutUint16(b[14:], d.next)
	}
}

// avail makes heads available, from the ring's beginning on.
func (r *ring) avail(heads ...uint16) {
	r.t.Helper()
	for i, h := range heads {
		le.PutUint16(r.bytes(availAt+4+guestmem.Addr(2*i), 2), h)
	}
	r.store(availAt+2, uint16(len(heads)))
}

func (r *ring) store(a guestmem.Addr, v uint16) {
	r.t.Helper()
	if err := r.mem.Store16(a, v); err != nil {
		r.t.Fatal(err)
	}
}

func (r *ring) load(a guestmem.Addr) uint16 {
	r.t.Helper()
	v, err := r.mem.Load16(a)
	if err != nil {
		r.t.Fatal(err)
	}
	return v
}

func TestPop(t *testing.T) {
	text := []byte("one chain of the driver")
	for _, tt := range []struct {
		name     string
		table    []desc
		indirect []desc
		readable int
		writable int
	}{
		{"one readable", []desc{{dataAt, 23, 0, 0}}, nil, 23, 0},
		{"one writable", []desc{{dataAt, 23, write, 0}}, nil, 0, 23},
		{"three, out of order", []desc{{dataAt, 3, next, 5}, {}, {dataAt + 13, 10, write, 0}, {}, {}, {dataAt + 3, 10, next, 2}}, nil, 13, 10},
		{"as many as the queue has", []desc{
			{dataAt, 1, next, 1}, {dataAt + 1, 1, next, 2}, {dataAt + 2, 1, next, 3}, {dataAt + 3, 1, next, 4},
			{dataAt + 4, 1, next, 5}, {dataAt + 5, 1, next, 6}, {dataAt + 6, 1, next, 7}, {dataAt + 7, 16, write, 0},
		}, nil, 7, 16},
		{"with empty buffers", []desc{{dataAt, 0, next, 1}, {dataAt, 23, next, 2}, {dataAt, 0, write, 0}}, nil, 23, 0},
		{"indirect", []desc{{indirectAt, 32, indirect, 0}}, []desc{{dataAt, 20, next, 1}, {dataAt + 20, 3, write, 0}}, 20, 3},
		{"indirect and marked as writable", []desc{{indirectAt, 32, indirect | write, 0}}, []desc{{dataAt, 20, next, 1}, {dataAt + 20, 3, write, 0}}, 20, 3},
		{"indirect behind direct", []desc{{dataAt, 5, next, 1}, {indirectAt, 32, indirect, 0}}, []desc{{dataAt + 5, 15, next, 1}, {dataAt + 20, 3, write, 0}}, 20, 3},
		{"as many indirect as the queue has", []desc{{indirectAt, 128, indirect, 0}}, []desc{
			{dataAt, 1, next, 1}, {dataAt + 1, 1, next, 2}, {dataAt + 2, 1, next, 3}, {dataAt + 3, 1, next, 4},
			{dataAt + 4, 1, next, 5}, {dataAt + 5, 1, next, 6}, {dataAt + 6, 1, next, 7}, {dataAt + 7, 16, write, 0},
		}, 7, 16},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, virtq.Config{Indirect: true})
			copy(r.bytes(dataAt, len(text)), text)
			r.put(descAt, tt.table...)
			r.put(indirectAt, tt.indirect...)
			r.avail(0)
			var c virtq.Chain
			if ok, err := r.Pop(&c); !ok || err != nil {
				t.Fatal(ok, err)
			}
			if c.Reader.Len() != tt.readable || c.Writer.Len() != tt.writable {
				t.Fatalf("%d bytes to read and %d to write", c.Reader.Len(), c.Writer.Len())
			}
			if got, err := io.ReadAll(&c.Reader); err != nil || !bytes.Equal(got, text[:tt.readable]) {
				t.Errorf("read %q, %v", got, err)
			}
			answer := bytes.Repeat([]byte{'!'}, tt.writable)
			if n, err := c.Writer.Write(answer); n != tt.writable || err != nil {
				t.Errorf("wrote %d bytes, %v", n, err)
			}
			if n, err := c.Writer.Write([]byte{1}); n != 0 || !errors.Is(err, io.ErrShortBuffer) {
				t.Errorf("wrote %d bytes behind the end, %v", n, err)
			}
			if ok, err := r.Pop(&c); ok || err != nil {
				t.Errorf("a second chain: %t, %v", ok, err)
			}
		})
	}
}

func TestPopRefuses(t *testing.T) {
	long := make([]desc, 9)
	for i := range long {
		long[i] = desc{dataAt, 1, next, uint16(i + 1)}
	}
	long[8].flags = 0
	huge := []desc{{0, memorySize, next, 1}, {0, memorySize, 0, 0}}
	for _, tt := range []struct {
		name     string
		table    []desc
		indirect []desc
		heads    []uint16
		rule     string
	}{
		{"a head beyond the table", nil, nil, []uint16{size}, "§2.7.5"},
		{"a next beyond the table", []desc{{dataAt, 1, next, size}}, nil, []uint16{0}, "§2.7.5"},
		{"a loop of one", []desc{{dataAt, 1, next, 0}}, nil, []uint16{0}, "§2.7.5.3.1"},
		{"a loop of two", []desc{{dataAt, 1, next, 1}, {dataAt, 1, next, 0}}, nil, []uint16{0}, "§2.7.5.3.1"},
		{"a loop of empty buffers", []desc{{dataAt, 0, next, 0}}, nil, []uint16{0}, "§2.7.5.3.1"},
		{"a buffer beyond RAM", []desc{{memorySize, 1, 0, 0}}, nil, []uint16{0}, "§2.7.5"},
		{"a buffer across RAM's end", []desc{{memorySize - 1, 2, 0, 0}}, nil, []uint16{0}, "§2.7.5"},
		{"a buffer across the address space's end", []desc{{1<<64 - 1, 2, write, 0}}, nil, []uint16{0}, "§2.7.5"},
		{"a buffer of 4 GiB", []desc{{0, 1<<32 - 1, write, 0}}, nil, []uint16{0}, "§2.7.5"},
		{"readable after writable", []desc{{dataAt, 1, write | next, 1}, {dataAt, 1, 0, 0}}, nil, []uint16{0}, "§2.7.4.2"},
		{"empty readable after empty writable", []desc{{dataAt, 0, write | next, 1}, {dataAt, 0, 0, 0}}, nil, []uint16{0}, "§2.7.4.2"},
		{"indirect with next", []desc{{indirectAt, 16, indirect | next, 1}}, nil, []uint16{0}, "§2.7.5.3.1"},
		{"indirect in indirect", []desc{{indirectAt, 16, indirect, 0}}, []desc{{indirectAt, 16, indirect, 0}}, []uint16{0}, "§2.7.5.3.1"},
		{"an indirect table that is empty", []desc{{indirectAt, 0, indirect, 0}}, nil, []uint16{0}, "§2.7.5.3"},
		{"an indirect table of 17 bytes", []desc{{indirectAt, 17, indirect, 0}}, nil, []uint16{0}, "§2.7.5.3"},
		{"an indirect table beyond RAM", []desc{{memorySize, 16, indirect, 0}}, nil, []uint16{0}, "§2.7.5.3"},
		{"a next beyond the indirect table", []desc{{indirectAt, 16, indirect, 0}}, []desc{{dataAt, 1, next, 1}}, []uint16{0}, "§2.7.5"},
		{"a loop in an indirect table", []desc{{indirectAt, 16, indirect, 0}}, []desc{{dataAt, 1, next, 0}}, []uint16{0}, "§2.7.5.3.1"},
		{"more indirect than the queue has", []desc{{indirectAt, 144, indirect, 0}}, long, []uint16{0}, "§2.7.5.3.1"},
		{"an index that is too far ahead", huge, nil, make([]uint16, size+1), "§2.7.6.1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRing(t, virtq.Config{Indirect: true})
			r.put(descAt, tt.table...)
			r.put(indirectAt, tt.indirect...)
			r.avail(tt.heads...)
			var c virtq.Chain
			ok, err := r.Pop(&c)
			var guest *devices.GuestError
			if ok || !errors.As(err, &guest) || guest.Rule != "virtio-v1.2 "+tt.rule {
				t.Fatalf("%t, %v; want %s broken", ok, err, tt.rule)
			}
			// The queue stays broken, whatever the driver does next.
			r.avail()
			if ok, again := r.Pop(&c); ok || !errors.Is(again, err) {
				t.Errorf("then %t, %v", ok, again)
			}
		})
	}
}

// A driver that makes descriptors available which the device still has cannot
// have it keep more chains than the ring has room for.
func TestPopTooManyOut(t *testing.T) {
	r := newRing(t, virtq.Config{})
	r.put(descAt, desc{dataAt, 1, 0, 0})
	for i := range uint16(size) {
		r.store(availAt+2, i+1)
		if ok, err := r.Pop(new(virtq.Chain)); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	r.store(availAt+2, size+1)
	var guest *devices.GuestError
	if ok, err := r.Pop(new(virtq.Chain)); ok || !errors.As(err, &guest) || guest.Rule != "virtio-v1.2 §2.7.13" {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestPopWithoutIndirect(t *testing.T) {
	r := newRing(t, virtq.Config{})
	r.put(descAt, desc{indirectAt, 16, indirect, 0})
	r.put(indirectAt, desc{dataAt, 1, 0, 0})
	r.avail(0)
	var c virtq.Chain
	var guest *devices.GuestError
	if ok, err := r.Pop(&c); ok || !errors.As(err, &guest) {
		t.Errorf("%t, %v", ok, err)
	}
}

// A chain's sum of lengths stays below 2^32, though each buffer is RAM.
func TestPopSum(t *testing.T) {
	const big = 1 << 30
	mem, err := guestmem.New(guestmem.Range{Start: 0, Size: big}) // untouched, so it costs nothing
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	q, err := virtq.New(mem, virtq.Config{Size: size, Desc: descAt, Driver: availAt, Device: usedAt})
	if err != nil {
		t.Fatal(err)
	}
	r := &ring{t, mem, q}
	r.put(descAt, desc{0, big, next, 1}, desc{0, big, next, 2}, desc{0, big, next, 3}, desc{0, big, 0, 0})
	r.avail(0)
	var c virtq.Chain
	var guest *devices.GuestError
	if ok, err := q.Pop(&c); ok || !errors.As(err, &guest) || guest.Rule != "virtio-v1.2 §2.7.5.2" {
		t.Errorf("a chain of 2^32 bytes: %t, %v", ok, err)
	}
}

func TestNewRefuses(t *testing.T) {
	good := virtq.Config{Size: size, Desc: descAt, Driver: availAt, Device: usedAt}
	for _, tt := range []struct {
		name   string
		change func(*virtq.Config)
	}{
		{"no entries", func(c *virtq.Config) { c.Size = 0 }},
		{"a size that is no power of two", func(c *virtq.Config) { c.Size = 6 }},
		{"a size above the maximum", func(c *virtq.Config) { c.Size = 0xffff }},
		{"a table that is not aligned", func(c *virtq.Config) { c.Desc += 8 }},
		{"an available ring that is not aligned", func(c *virtq.Config) { c.Driver++ }},
		{"a used ring that is not aligned", func(c *virtq.Config) { c.Device += 2 }},
		{"a table beyond RAM", func(c *virtq.Config) { c.Desc = memorySize - 16 }},
		{"an available ring beyond RAM", func(c *virtq.Config) { c.Driver = memorySize }},
		{"a used ring at the end of the address space", func(c *virtq.Config) { c.Device = 1<<64 - 4 }},
	} {
		c := good
		tt.change(&c)
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: memorySize})
		var guest *devices.GuestError
		if _, err := virtq.New(mem, c); !errors.As(err, &guest) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestPopAllocatesNothing(t *testing.T) {
	r := newRing(t, virtq.Config{EventIdx: true})
	r.put(descAt, desc{dataAt, 16, next, 1}, desc{dataAt + 16, 16, write, 0})
	var c virtq.Chain
	idx := uint16(0)
	var pieces [][]byte
	if n := testing.AllocsPerRun(100, func() {
		idx++
		r.store(availAt+2, idx)
		if ok, err := r.Pop(&c); !ok || err != nil {
			t.Fatal(ok, err)
		}
		pieces = c.Writer.Next(pieces[:0], 16)
		r.Push(&c, 16)
		r.Publish()
		r.EnableNotify()
	}); n != 0 {
		t.Errorf("%v allocations a request", n)
	}
}
