package virtq_test

import (
	"errors"
	"testing"

	"microvm/devices"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

func uintAddr(i uint16) guestmem.Addr { return guestmem.Addr(i) }

// FuzzPop gives the queue descriptors, an available ring and an index of the
// fuzzer's making. Each is a byte in which most values are right, so that chains
// get long.
//
// The laws: a chain has at most as many pieces as the queue has entries, all in
// RAM; at most as many chains are taken as the index is ahead; what is refused
// names its rule.
func FuzzPop(f *testing.F) {
	f.Add([]byte{0, 0, 1, 1, 2, 2}, []byte{0, 1, 2}, uint16(3), true)
	f.Add([]byte{0x41, 0x82, 0xc3, 0x04, 0x45, 0x86}, []byte{5, 4, 3, 2, 1, 0}, uint16(6), true)
	f.Add([]byte{0xff, 0xfe, 0x10, 0x20}, []byte{9}, uint16(9), false)
	f.Fuzz(func(t *testing.T, descs, heads []byte, idx uint16, indirect bool) {
		mem := guestmem.NewHeap(guestmem.Range{Start: 0, Size: memorySize})
		q, err := virtq.New(mem, virtq.Config{Size: size, Desc: descAt, Driver: availAt, Device: usedAt, Indirect: indirect})
		if err != nil {
			t.Fatal(err)
		}
		r := &ring{t, mem, q}
		for i, b := range descs[:min(len(descs), 2*size)] {
			table, at := guestmem.Addr(descAt), i
			if i >= size {
				table, at = indirectAt, i-size
			}
			r.put(table+guestmem.Addr(16*at), fuzzDesc(b, uint16(at)))
		}
		for i, b := range heads[:min(len(heads), size)] {
			le.PutUint16(r.bytes(availAt+4+guestmem.Addr(2*i), 2), uint16(b%(size+1)))
		}
		r.store(availAt+2, idx)

		var c virtq.Chain
		taken := 0
		for {
			ok, err := q.Pop(&c)
			var guest *devices.GuestError
			if err != nil && !(errors.As(err, &guest) && guest.Rule != "") {
				t.Fatalf("an error that names no rule: %v", err)
			}
			if !ok {
				break
			}
			taken++
			if n := c.Reader.Len() + c.Writer.Len(); n > size*memorySize {
				t.Fatalf("a chain of %d bytes", n)
			}
			pieces := c.Reader.Next(nil, c.Reader.Len())
			pieces = c.Writer.Next(pieces, c.Writer.Len())
			if len(pieces) > size {
				t.Fatalf("a chain of %d pieces", len(pieces))
			}
			for _, p := range pieces {
				p[0]++ // faults if it is not RAM of this process
			}
			q.Push(&c, 0)
		}
		if taken > size || taken > int(idx) {
			t.Fatalf("%d chains of an index of %d", taken, idx)
		}
		q.Publish()
	})
}

// fuzzDesc is descriptor i made of a byte: the low bits choose a kind of
// buffer, the high ones the flags.
func fuzzDesc(b byte, i uint16) desc {
	d := desc{addr: dataAt + guestmem.Addr(b), len: uint32(b&0x1f) * 7, next: i + 1}
	switch b & 0x1f {
	case 1:
		d.addr = memorySize - 3
	case 2:
		d.len = 1<<32 - 1
	case 3:
		d.next = uint16(b >> 5)
	case 4, 5, 6, 7:
		d.addr, d.len = indirectAt, 16*uint32(b&3+1)
	}
	if b&0x20 != 0 {
		d.flags |= next
	}
	if b&0x40 != 0 {
		d.flags |= write
	}
	if b&0x80 != 0 {
		d.flags |= indirect
	}
	return d
}
