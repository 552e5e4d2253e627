package virtq_test

import (
	"errors"
	"io"
	"testing"

	"microvm/devices"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

// Flags of a packed descriptor.
const (
	availFlag = 1 << 7
	usedFlag  = 1 << 15
)

// A packed is a packed queue and a driver for it, as virtio-v1.2 §2.8.21 has it.
type packed struct {
	*ring
	size uint16

	next, used         uint16 // entries
	nextWrap, usedWrap bool
	entries            map[uint16]uint16 // by buffer ID
}

func newPackedRing(t *testing.T, n uint16, c virtq.Config) *packed {
	t.Helper()
	mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: memorySize})
	c.Size, c.Desc, c.Driver, c.Device, c.Packed = n, descAt, availAt, usedAt, true
	q, err := virtq.New(mem, c)
	if err != nil {
		t.Fatal(err)
	}
	return &packed{ring: &ring{t, mem, q}, size: n, nextWrap: true, usedWrap: true, entries: make(map[uint16]uint16)}
}

// offer makes a chain available, whose buffers' flags are as they should be but
// for those that say available.
func (p *packed) offer(id uint16, ds ...desc) {
	p.t.Helper()
	p.entries[id] = uint16(len(ds))
	first, firstFlags := p.next, uint16(0)
	for i, d := range ds {
		flags := d.flags
		if i+1 < len(ds) {
			flags |= next
		}
		if p.nextWrap {
			flags |= availFlag
		} else {
			flags |= usedFlag
		}
		at := descAt + 16*guestmem.Addr(p.next)
		b := p.bytes(at, 16)
		le.PutUint64(b, uint64(d.addr))
		le.PutUint32(b[8:], d.len)
		le.PutUint16(b[12:], id)
		if i == 0 {
			firstFlags = flags
		} else {
			p.store(at+14, flags)
		}
		if p.next++; p.next == p.size {
			p.next, p.nextWrap = 0, !p.nextWrap
		}
	}
	p.store(descAt+16*guestmem.Addr(first)+14, firstFlags)
}

// collect takes the next chain that the device has given back.
func (p *packed) collect() (id uint16, written uint32, ok bool) {
	p.t.Helper()
	at := descAt + 16*guestmem.Addr(p.used)
	flags := p.load(at + 14)
	if (flags&availFlag != 0) != p.usedWrap || (flags&usedFlag != 0) != p.usedWrap {
		return 0, 0, false
	}
	b := p.bytes(at, 16)
	id, written = le.Uint16(b[12:]), le.Uint32(b[8:])
	if (flags&write != 0) != (written > 0) {
		p.t.Errorf("flags %#x of a chain with %d bytes written", flags, written)
	}
	if p.used += p.entries[id]; p.used >= p.size {
		p.used, p.usedWrap = p.used-p.size, !p.usedWrap
	}
	return id, written, true
}

func (p *packed) take() *virtq.Chain {
	p.t.Helper()
	c := new(virtq.Chain)
	if ok, err := p.Pop(c); !ok || err != nil {
		p.t.Fatal(ok, err)
	}
	return c
}

// Chains of different lengths go around rings of different sizes, and come back
// in another order.
func TestPackedRounds(t *testing.T) {
	for _, n := range []uint16{1, 2, 3, 5, 8} {
		p := newPackedRing(t, n, virtq.Config{})
		for round := range 50 {
			length := uint16(1 + round%int(n))
			var chain []desc
			for i := range length {
				chain = append(chain, desc{dataAt + guestmem.Addr(i), 1, 0, 0})
			}
			chain[length-1].flags = write
			count := n / length
			var taken []*virtq.Chain
			for id := range count {
				p.offer(100+id, chain...)
				taken = append(taken, p.take())
			}
			if ok, err := p.Pop(new(virtq.Chain)); ok || err != nil {
				t.Fatalf("size %d: a chain more than there are: %t, %v", n, ok, err)
			}
			for i := range taken {
				c := taken[len(taken)-1-i]
				if c.Reader.Len() != int(length)-1 || c.Writer.Len() != 1 {
					t.Fatalf("%d bytes to read, %d to write", c.Reader.Len(), c.Writer.Len())
				}
				p.Push(c, 1)
			}
			if _, _, ok := p.collect(); ok {
				t.Fatal("the driver sees a chain before Publish")
			}
			if !p.Publish() {
				t.Error("no interrupt, though the driver wants each")
			}
			for id := range count {
				got, written, ok := p.collect()
				if want := 100 + count - 1 - id; !ok || got != want || written != 1 {
					t.Fatalf("size %d, round %d: chain %d, %d bytes, %t; want %d", n, round, got, written, ok, want)
				}
			}
		}
	}
}

func TestPackedIndirect(t *testing.T) {
	p := newPackedRing(t, size, virtq.Config{Indirect: true})
	copy(p.bytes(dataAt, 4), "text")
	// Of a table's flags only WRITE counts, and the order of the last two
	// fields is that of packed descriptors.
	for i, d := range []desc{{dataAt, 2, next | indirect, 0}, {dataAt + 2, 2, 0, 0}, {dataAt + 4, 3, write, 0}} {
		b := p.bytes(indirectAt+16*guestmem.Addr(i), 16)
		le.PutUint64(b, uint64(d.addr))
		le.PutUint32(b[8:], d.len)
		le.PutUint16(b[12:], 0xffff)
		le.PutUint16(b[14:], d.flags)
	}
	p.offer(7, desc{indirectAt, 48, indirect | write, 0})
	c := p.take()
	if got, _ := io.ReadAll(&c.Reader); string(got) != "text" || c.Writer.Len() != 3 {
		t.Errorf("read %q, %d bytes to write", got, c.Writer.Len())
	}
	p.Push(c, 0)
	p.Publish()
	if id, written, ok := p.collect(); id != 7 || written != 0 || !ok {
		t.Errorf("chain %d, %d bytes, %t", id, written, ok)
	}
}

func TestPackedRefuses(t *testing.T) {
	for _, tt := range []struct {
		name  string
		offer func(p *packed)
	}{
		{"a buffer beyond RAM", func(p *packed) { p.offer(1, desc{memorySize, 1, 0, 0}) }},
		{"readable after writable", func(p *packed) { p.offer(1, desc{dataAt, 1, write, 0}, desc{dataAt, 1, 0, 0}) }},
		{"a chain without an end", func(p *packed) {
			for i := range p.size {
				p.offer(i, desc{dataAt, 1, next, 0})
			}
		}},
		{"a chain that goes on with nothing", func(p *packed) { p.offer(1, desc{dataAt, 1, next, 0}) }},
		{"an indirect table of 17 bytes", func(p *packed) { p.offer(1, desc{indirectAt, 17, indirect, 0}) }},
		{"an indirect table of more than the queue has", func(p *packed) { p.offer(1, desc{indirectAt, 16 * (size + 1), indirect, 0}) }},
		{"an indirect table beyond RAM", func(p *packed) { p.offer(1, desc{memorySize, 16, indirect, 0}) }},
		{"indirect with next", func(p *packed) { p.offer(1, desc{indirectAt, 16, indirect, 0}, desc{dataAt, 1, 0, 0}) }},
		{"indirect in a chain", func(p *packed) { p.offer(1, desc{dataAt, 1, 0, 0}, desc{indirectAt, 16, indirect, 0}) }},
	} {
		p := newPackedRing(t, size, virtq.Config{Indirect: true})
		tt.offer(p)
		var guest *devices.GuestError
		if ok, err := p.Pop(new(virtq.Chain)); ok || !errors.As(err, &guest) {
			t.Errorf("%s: %t, %v", tt.name, ok, err)
		}
	}
}

func TestNewPackedRefuses(t *testing.T) {
	good := virtq.Config{Size: 3, Desc: descAt, Driver: availAt, Device: usedAt, Packed: true}
	for _, tt := range []struct {
		name   string
		change func(*virtq.Config)
	}{
		{"a ring that is not aligned", func(c *virtq.Config) { c.Desc += 8 }},
		{"a driver area that is not aligned", func(c *virtq.Config) { c.Driver += 2 }},
		{"a device area that is not aligned", func(c *virtq.Config) { c.Device += 2 }},
		{"a ring across RAM's end", func(c *virtq.Config) { c.Desc = memorySize - 32 }},
		{"a driver area beyond RAM", func(c *virtq.Config) { c.Driver = memorySize }},
		{"a device area at the end of the address space", func(c *virtq.Config) { c.Device = 1<<64 - 4 }},
	} {
		c := good
		tt.change(&c)
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: memorySize})
		var guest *devices.GuestError
		if _, err := virtq.New(mem, c); !errors.As(err, &guest) || guest.Rule != "virtio-v1.2 §2.8.11" {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestPackedWithoutIndirect(t *testing.T) {
	p := newPackedRing(t, size, virtq.Config{})
	p.offer(1, desc{indirectAt, 16, indirect, 0})
	var guest *devices.GuestError
	if ok, err := p.Pop(new(virtq.Chain)); ok || !errors.As(err, &guest) {
		t.Errorf("%t, %v", ok, err)
	}
}

// A driver that makes descriptors available which the device still has cannot
// have it keep more chains than the ring has room for.
func TestPackedTooManyOut(t *testing.T) {
	p := newPackedRing(t, 2, virtq.Config{})
	for range 2 {
		p.offer(1, desc{dataAt, 1, 0, 0})
		p.take()
	}
	p.offer(1, desc{dataAt, 1, 0, 0})
	var guest *devices.GuestError
	if ok, err := p.Pop(new(virtq.Chain)); ok || !errors.As(err, &guest) {
		t.Errorf("%t, %v", ok, err)
	}
}

func TestPackedInterrupt(t *testing.T) {
	const off, flags = availAt, availAt + 2
	for _, tt := range []struct {
		name        string
		event       uint16
		flags       uint16
		start, push int
		want        bool
	}{
		{"enabled", 0, 0, 0, 1, true},
		{"disabled", 0, 1, 0, 1, false},
		{"the first", 0x8000, 2, 0, 1, true},
		{"the second of one", 0x8001, 2, 0, 1, false},
		{"the second of three", 0x8001, 2, 0, 3, true},
		{"one that was before", 0x8001, 2, 4, 2, false},
		{"the last of the ring", 0x8007, 2, 6, 2, true},
		{"the first of the next round", 0x0000, 2, 6, 2, false},
		{"the first of the next round, across", 0x0000, 2, 6, 3, true},
		{"the last of the round before, across", 0x8007, 2, 6, 3, true},
		{"far ahead, across", 0x0003, 2, 6, 3, false},
	} {
		p := newPackedRing(t, size, virtq.Config{EventIdx: true})
		push := func(n int) {
			for range n {
				p.offer(1, desc{dataAt, 1, write, 0})
				p.Push(p.take(), 1)
			}
		}
		push(tt.start)
		p.Publish()
		p.store(off, tt.event)
		p.store(flags, tt.flags)
		push(tt.push)
		if got := p.Publish(); got != tt.want {
			t.Errorf("%s: interrupt %t", tt.name, got)
		}
		if p.Publish() {
			t.Errorf("%s: an interrupt for nothing", tt.name)
		}
	}
}

func TestPackedNotify(t *testing.T) {
	const off, flags = usedAt, usedAt + 2
	p := newPackedRing(t, 2, virtq.Config{EventIdx: true})
	if p.EnableNotify() || p.load(off) != 0x8000 || p.load(flags) != 2 {
		t.Errorf("event %#x, flags %d", p.load(off), p.load(flags))
	}
	for range 3 {
		p.offer(1, desc{dataAt, 1, write, 0})
		if !p.EnableNotify() {
			t.Error("a chain that is there is not seen")
		}
		p.Push(p.take(), 1)
		p.Publish()
	}
	if p.EnableNotify() || p.load(off) != 0x0001 {
		t.Errorf("event %#x in the second round", p.load(off))
	}
	p.DisableNotify()
	if p.load(flags) != 1 {
		t.Errorf("flags %d", p.load(flags))
	}

	p = newPackedRing(t, 2, virtq.Config{})
	if p.EnableNotify() || p.load(flags) != 0 {
		t.Errorf("flags %d without EVENT_IDX", p.load(flags))
	}
}

// FuzzPackedPop is FuzzPop with a packed ring; a byte of flags more for each
// descriptor says whether it looks available.
func FuzzPackedPop(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 2, 2}, []byte{1, 1, 1, 2}, true)
	f.Add([]byte{0x41, 0x82, 0xc3, 0x04, 0x45, 0x86}, []byte{1, 1, 1, 1, 1, 1, 1, 1}, true)
	f.Fuzz(func(t *testing.T, descs, marks []byte, withIndirect bool) {
		p := newPackedRing(t, size, virtq.Config{Indirect: withIndirect, EventIdx: true})
		for i, b := range descs[:min(len(descs), 2*size)] {
			table, at := guestmem.Addr(descAt), i
			if i >= size {
				table, at = indirectAt, i-size
			}
			d := fuzzDesc(b, uint16(at))
			if i < len(marks) {
				d.flags |= uint16(marks[i]&1)<<7 | uint16(marks[i]&2)<<14
			}
			d.flags, d.next = d.next, d.flags
			p.put(table+guestmem.Addr(16*at), d)
		}
		var c virtq.Chain
		for taken := 0; ; taken++ {
			ok, err := p.Pop(&c)
			var guest *devices.GuestError
			if err != nil && !(errors.As(err, &guest) && guest.Rule != "") {
				t.Fatalf("an error that names no rule: %v", err)
			}
			if !ok {
				break
			}
			if taken == size {
				t.Fatalf("more chains than the ring has entries")
			}
			pieces := c.Reader.Next(nil, c.Reader.Len())
			pieces = c.Writer.Next(pieces, c.Writer.Len())
			if len(pieces) > size {
				t.Fatalf("a chain of %d pieces", len(pieces))
			}
			if taken%2 == 0 { // the device keeps the others
				p.Push(&c, c.Writer.Len())
				p.Publish()
				p.EnableNotify()
			}
		}
	})
}
