package console_test

import (
	"bytes"
	"context"
	"testing"

	"microvm/devices/virtio"
	"microvm/devices/virtio/console"
	"microvm/devices/virtio/virtiotest"
)

func newDevice() virtio.Device { return virtiotest.Must(console.New(portNameText)) }

func TestHostileDriver(t *testing.T) {
	for seed := range uint64(4) {
		virtiotest.Hostile(t, seed, newDevice, func(d *virtiotest.Driver) {
			d.Start(^virtio.Features(0))
			open(d)
			silent(d)
		})
	}
}

// FuzzQueues does what the fuzzer says on all queues: two bytes each choose a
// queue and how long a buffer is, whose bytes, if the device is to read them, are
// those that follow. The host reads and writes all the while.
//
// The laws: nothing panics or hangs, what the device has written fits into its
// room, the host reads what the driver has sent to the console, in order, and
// after a reset an honest driver is served.
func FuzzQueues(f *testing.F) {
	ready := message(0, deviceReady, 1)
	f.Add(append([]byte{controlReceive, 64, controlTransmit, 8}, ready...))
	f.Add(append(append([]byte{controlReceive, 64, controlReceive, 64, controlTransmit, 8}, ready...), controlReceive, 3))
	f.Add(append([]byte{controlTransmit, 8}, message(7, 9, 1)...))
	f.Add(append([]byte{controlTransmit, 8}, message(1, portOpen, 1)...))
	f.Add([]byte{receive0, 8, receive1, 9, transmit0, 3, 'a', 'b', 'c', transmit1, 1, 'x', controlTransmit, 2, 1, 1})
	f.Fuzz(func(t *testing.T, steps []byte) {
		dev, d := start(t, portNameText)
		ctx, stop := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for _, p := range []*console.Port{dev.Console(), dev.Port(portNameText)} {
				_, _ = p.Write(ctx, []byte("typed")) // as far as the driver lets it
			}
		}()
		var sent []byte
		room := map[int]map[uint16]int{} // by queue and head
		for len(steps) >= 2 && len(sent) < outLimit/2 {
			n, length := int(steps[0])%len(d.Queues), int(steps[1])
			steps = steps[2:]
			q := d.Queues[n]
			for u, ok := q.TryUsed(); ok; u, ok = q.TryUsed() {
				if u.Written > room[n][u.Head] {
					t.Fatalf("queue %d: %d bytes written to room of %d", n, u.Written, room[n][u.Head])
				}
			}
			var b virtiotest.Buffer
			if n%2 == 0 {
				b = d.In(length)
			} else {
				length = min(length, len(steps))
				b = d.Out(steps[:length])
				if n == transmit0 {
					sent = append(sent, steps[:length]...)
				}
				steps = steps[length:]
			}
			if room[n] == nil {
				room[n] = map[uint16]int{}
			}
			if len(room[n]) == int(q.Size) {
				break // descriptors would be used twice
			}
			room[n][q.Add(b)] = length * (1 - n%2)
			q.Notify()
			if n == transmit0 && d.Status()&virtio.StatusNeedsReset == 0 {
				if got := readSome(dev.Console(), len(sent)); !bytes.HasPrefix(sent, got) {
					t.Fatalf("the host reads %q of %q", got, sent)
				} else {
					sent = sent[len(got):]
				}
			}
		}
		stop()
		<-done
		d.Reset()
		d.Start(^virtio.Features(0))
		open(d)
		silent(d)
	})
}

// readSome reads what is there by now, at most n bytes.
func readSome(p *console.Port, n int) []byte {
	ctx, stop := context.WithCancel(context.Background())
	stop()
	b := make([]byte, n)
	n, _ = p.Read(ctx, b)
	return b[:n]
}
