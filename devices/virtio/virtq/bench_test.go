package virtq_test

import (
	"testing"

	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

// BenchmarkPop is what a chain of many pages costs, as a disk's of a MiB has them,
// until the device has them in pieces, in a guest whose memory has several ranges.
func BenchmarkPop(b *testing.B) {
	const (
		pages, entries = 256, 256
		page           = 4096
		desc           = 0x1000
		avail          = 0x3000
		used           = 0x4000
		table          = 0x6000
		data           = 0x100000
	)
	var ranges []guestmem.Range
	for i := range guestmem.Addr(8) {
		ranges = append(ranges, guestmem.Range{Start: i * 0x1000000, Size: 0x800000})
	}
	mem := guestmem.NewHeap(ranges...)
	q, err := virtq.New(mem, virtq.Config{Size: entries, Desc: desc, Driver: avail, Device: used, Indirect: true})
	if err != nil {
		b.Fatal(err)
	}
	put := func(at, addr guestmem.Addr, length uint32, flags, next uint16) {
		var d [16]byte
		le.PutUint64(d[:], uint64(addr))
		le.PutUint32(d[8:], length)
		le.PutUint16(d[12:], flags)
		le.PutUint16(d[14:], next)
		if err := mem.CopyIn(at, d[:]); err != nil {
			b.Fatal(err)
		}
	}
	put(desc, table, 16*pages, indirect, 0)
	for i := range guestmem.Addr(pages) {
		flags := uint16(write | next)
		if i == pages-1 {
			flags = write
		}
		put(table+16*i, data+2*page*i, page, flags, uint16(i+1))
	}
	var c virtq.Chain
	var pieces [][]byte
	idx := uint16(0)
	for b.Loop() {
		idx++
		if err := mem.Store16(avail+2, idx); err != nil {
			b.Fatal(err)
		}
		if ok, err := q.Pop(&c); !ok || err != nil {
			b.Fatal(ok, err)
		}
		room, _ := c.Writer.SplitAt(c.Writer.Len() - 1)
		pieces = room.Next(pieces[:0], room.Len())
		q.Push(&c, 0)
	}
}
