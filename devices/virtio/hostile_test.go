package virtio_test

import (
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
)

func TestHostileDriver(t *testing.T) {
	for seed := range uint64(4) {
		virtiotest.Hostile(t, seed, func() virtio.Device { return newEcho() }, func(d *virtiotest.Driver) {
			d.Start(0)
			if n := d.Queues[0].Do(d.Out([]byte("honest")), d.In(6)); n != 6 {
				t.Errorf("seed %d: an honest driver got %d bytes", seed, n)
			}
		})
	}
}

// FuzzRegisters writes and reads registers in an order of the fuzzer's making:
// three bytes each choose a register, a width and a value, most of them ones
// that do something.
//
// The laws: nothing panics or hangs, the machine goes on, the status never loses
// a bit but by a reset, and at the end an honest driver is served.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{0x70 / 4, 2, 1, 0x70 / 4, 2, 3, 0x70 / 4, 2, 11, 0x70 / 4, 2, 15, 0x50 / 4, 2, 0})
	f.Add([]byte{0x30 / 4, 2, 1, 0x38 / 4, 2, 8, 0x80 / 4, 2, 16, 0x44 / 4, 2, 1, 0x44 / 4, 2, 0})
	f.Add([]byte{0x100 / 4, 0, 7, 0xfc / 4, 2, 0, 0x1fc / 4, 3, 9})
	f.Fuzz(func(t *testing.T, steps []byte) {
		e := newEcho()
		d := virtiotest.New(t, e)
		for ; len(steps) >= 3; steps = steps[3:] {
			off := uint64(steps[0]) * 4 % virtio.Size
			p := make([]byte, 1<<(steps[1]%4))
			if off+uint64(len(p)) > virtio.Size {
				continue
			}
			before := d.Status()
			p[0] = steps[2]
			d.Device.WriteIO(off, p)
			d.Device.ReadIO(off, p)
			after := d.Status()
			if reset := off == virtiotest.StatusReg && len(p) == 4 && steps[2] == 0; !reset && before&^after != 0 {
				t.Fatalf("a write to %#x took status %v to %v", off, before, after)
			}
		}
		d.Start(0)
		if n := d.Queues[0].Do(d.Out([]byte("honest")), d.In(6)); n != 6 {
			t.Fatalf("an honest driver got %d bytes", n)
		}
	})
}
