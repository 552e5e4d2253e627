package block_test

import (
	"bytes"
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/block"
	"microvm/devices/virtio/virtiotest"
)

func TestHostileDriver(t *testing.T) {
	for seed := range uint64(4) {
		var m *memory
		newDevice := func() virtio.Device {
			m = newMemory()
			m.late = seed%2 == 1
			return virtiotest.Must(block.New(m, "", 2))
		}
		virtiotest.Hostile(t, seed, newDevice, func(d *virtiotest.Driver) {
			d.Start(everything)
			if s, _ := request(t, d, header(typeIn, 0), nil, 512); s != statusOK {
				t.Errorf("seed %d: an honest driver got status %d", seed, s)
			}
		})
	}
}

// FuzzRequests gives the device chains of the fuzzer's bytes: the first bytes say
// how they are cut and how much room there is.
//
// The laws: nothing panics or hangs; what is given back is no longer than the
// room, and ends with a status; an image is changed only by operations that the
// device has asked for within it, and a read-only one never.
func FuzzRequests(f *testing.F) {
	add := func(readOnly bool, cut, room byte, chain ...[]byte) {
		f.Add(readOnly, cut, room, bytes.Join(chain, nil))
	}
	add(false, 16, 2, header(typeIn, 1))
	add(false, 7, 0, header(typeOut, 1), make([]byte, 512))
	add(true, 16, 0, header(typeOut, 1), make([]byte, 512))
	add(false, 16, 0, header(typeFlush, 0))
	add(false, 5, 20, header(typeGetID, 0))
	add(false, 16, 0, header(typeDiscard, 0), segment(1, 2, 0))
	add(true, 16, 0, header(typeWriteZeroes, 0), segment(1, 2, 1))
	add(false, 16, 0, header(typeWriteZeroes, 0), segment(1<<63, 1<<31, 3))
	f.Fuzz(func(t *testing.T, readOnly bool, cut, room byte, chain []byte) {
		m := newMemory()
		m.info.ReadOnly = readOnly
		before := bytes.Clone(m.data)
		d := start(t, m, everything)
		buffers := chop(d.Out(append([]byte{}, chain[:min(len(chain), 1<<16)]...)), max(int(cut), 1+len(chain)/200))
		if len(chain) == 0 {
			buffers = nil
		}
		// Rooms of sectors and of single bytes.
		n := int(room)
		if room&1 == 0 {
			n *= 512
		}
		answer := d.In(n + 1)
		q := d.Queues[0]
		q.Add(append(buffers, answer)...)
		q.Notify()
		if len(chain) < 16 {
			d.AwaitBroken()
			return
		}
		used := q.AwaitUsed()
		if used.Written != n+1 {
			t.Errorf("%d bytes written of %d", used.Written, n+1)
		}
		if s := d.Bytes(answer.Addr, n+1)[n]; s > statusUnsupp {
			t.Errorf("status %d", s)
		}
		changed := !bytes.Equal(m.data, before)
		for _, op := range m.done() {
			if op.Off < 0 || op.Len < 0 || op.Off+op.Len > diskSize || op.Off%512 != 0 || op.Len%512 != 0 {
				t.Errorf("not within the image: %+v", op)
			}
			if op.Kind != block.Read && op.Kind != block.Flush {
				if readOnly {
					t.Errorf("a read-only image is asked for %+v", op)
				}
				changed = false // as it may
			}
		}
		if changed {
			t.Error("the image has changed by itself")
		}
	})
}

// TestClauses has what virtio-v1.2 demands of a block device, and of its driver
// where the device can tell. Zones and lifetimes are not offered.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{"5.2.5.2": 3, "5.2.6.1": 9, "5.2.6.2": 9}, []virtiotest.Clause{
		{Section: "5.2.5.2", Says: "FLUSH is offered with CONFIG_WCE", Test: TestFeatures},
		{Section: "5.2.5.2", Says: "writeback is 0 if CONFIG_WCE is negotiated without FLUSH", Test: TestDurableWrites},
		{Section: "5.2.5.2", Says: "padding is 0", Test: TestConfiguration},

		{Section: "5.2.6.1", Says: "no request beyond capacity", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "a flush has sector 0", Test: TestFlush},
		{Section: "5.2.6.1", Says: "data to read and write is whole sectors", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "data to discard and to zero is whole segments", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "data of GET_ID is 20 bytes", Test: TestGetID},
		{Section: "5.2.6.1", Says: "no more segments to discard than max_discard_seg", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "no more segments to erase than max_secure_erase_seg", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "no more segments to zero than max_write_zeroes_seg", Test: TestRefusedRequests},
		{Section: "5.2.6.1", Says: "no unmap in a discard", Test: TestRefusedRequests},

		{Section: "5.2.6.2", Says: "a write to a read-only device has status IOERR", Test: TestReadOnly},
		{Section: "5.2.6.2", Says: "a read-only device is not written", Test: TestReadOnly},
		{Section: "5.2.6.2", Says: "an unknown flag has status UNSUPP", Test: TestRefusedRequests},
		{Section: "5.2.6.2", Says: "a discard with unmap has status UNSUPP", Test: TestRefusedRequests},
		{Section: "5.2.6.2", Says: "what is zeroed reads as zeros, with unmap and without", Test: TestDiscardAndZeroes},
		{Section: "5.2.6.2", Says: "without FLUSH and CONFIG_WCE, or with writeback 0, a write that is done is stable", Test: TestDurableWrites},
		{Section: "5.2.6.2", Says: "writes before a flush that is done are stable", Test: TestFlush},
		{Section: "5.2.6.2", Says: "no LIFETIME without metrics", Test: TestFeatures},
		{Section: "5.2.6.2", Says: "no reserved values in metrics", Why: "LIFETIME is not offered"},
	})
}
