package balloon_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/balloon"
	"microvm/devices/virtio/virtiotest"
	"microvm/kvm/guestmem"
)

// FuzzRequests sends one request of any bytes to any queue. The law: it is
// answered with no byte written, or breaks the device by a rule of the
// specification; and the only memory that changes is whole pages that it names to
// inflate or to report.
func FuzzRequests(f *testing.F) {
	f.Add(uint8(inflateQ), list(page(1), page(2), page(9)), uint16(5), false)
	f.Add(uint8(inflateQ), list(page(1), 1<<20), uint16(0), false)
	f.Add(uint8(deflateQ), list(page(3), page(3)), uint16(0), false)
	f.Add(uint8(statsQ), append(stat(4, 1), stat(99, 2)...), uint16(9), false)
	f.Add(uint8(reportingQ), list(4*balloon.PageSize, 3*balloon.PageSize, 100, 5000), uint16(0), true)
	f.Add(uint8(inflateQ), list(4*balloon.PageSize, 16), uint16(0), true)
	f.Fuzz(func(t *testing.T, queue uint8, data []byte, cut uint16, writable bool) {
		if len(data) == 0 || len(data) > 1<<14 {
			return
		}
		d := newDriver(t, balloon.Options{Reporting: true}, allFeatures)
		q := d.Queues[int(queue)%len(d.Queues)]
		if q.Index == 3 {
			return // free_page_vq does not exist: nobody answers
		}
		var named func(guestmem.Addr) bool
		var chain []virtiotest.Buffer
		if writable {
			chain, named = ranges(data, q.Index == reportingQ)
		} else {
			chain, named = lists(d, data, int(cut)), inList(data, q.Index == inflateQ)
		}
		if len(chain) == 0 {
			return
		}
		q.Add(chain...)
		q.Notify()
		if q.Index == statsQ && !writable {
			d.Device.Stats() // the buffer is kept, and describes itself
		} else if used, ok := d.settle(q); ok && used.Written != 0 {
			t.Errorf("%d bytes written", used.Written)
		}
		d.Device.Stop()
		if s := d.Device.Stats(); s.Errors > 0 && !strings.Contains(s.Error, "(virtio-v1.2 §") {
			t.Errorf("%q names no rule", s.Error)
		}
		kept := bytes.Repeat([]byte{0xaa}, balloon.PageSize)
		for a := scratch.Start; a < scratch.End(); a += balloon.PageSize {
			if !named(a) && !bytes.Equal(d.Bytes(a, balloon.PageSize), kept) {
				t.Fatalf("page %v changed; it was not named", a)
			}
		}
	})
}

// settle waits until q's chain comes back, or the device breaks.
func (d *driver) settle(q *virtiotest.Queue) (virtiotest.Used, bool) {
	d.T.Helper()
	for {
		if u, ok := q.TryUsed(); ok {
			return u, true
		}
		if d.Status()&virtio.StatusNeedsReset != 0 {
			return virtiotest.Used{}, false
		}
		d.AwaitInterrupt()
	}
}

// lists is data for the device to read, cut in two.
func lists(d *driver, data []byte, cut int) []virtiotest.Buffer {
	if cut = cut % len(data); cut == 0 {
		return []virtiotest.Buffer{d.Out(data)}
	}
	return []virtiotest.Buffer{d.Out(data[:cut]), d.Out(data[cut:])}
}

// inList reports for an address whether it is that of a page whose number is in
// data, if those count.
func inList(data []byte, count bool) func(guestmem.Addr) bool {
	named := make(map[guestmem.Addr]bool)
	for ; count && len(data) >= 4; data = data[4:] {
		named[guestmem.Addr(binary.LittleEndian.Uint32(data))*balloon.PageSize] = true
	}
	return func(a guestmem.Addr) bool { return named[a] }
}

// ranges is room to write in the scratch memory, one piece for each pair of an
// offset and a length in data, and which pages are wholly in a piece, if those
// count.
func ranges(data []byte, count bool) (chain []virtiotest.Buffer, named func(guestmem.Addr) bool) {
	for ; len(data) >= 8 && len(chain) < 16; data = data[8:] {
		a := scratch.Start + guestmem.Addr(uint64(binary.LittleEndian.Uint32(data))%scratch.Size)
		n := int(binary.LittleEndian.Uint32(data[4:])) % int(scratch.End()-a)
		if n > 0 {
			chain = append(chain, virtiotest.Buffer{Addr: a, Len: n, Writable: true})
		}
	}
	return chain, func(a guestmem.Addr) bool {
		for _, b := range chain {
			if count && a >= b.Addr && uint64(a-b.Addr)+balloon.PageSize <= uint64(b.Len) {
				return true
			}
		}
		return false
	}
}
