package vmm

import (
	"bytes"
	"context"
	"io"
	"testing"
	"time"

	"microvm/devices/serial"
	"microvm/devices/virtio/console"
	"microvm/devices/virtio/virtiotest"
)

// Registers of the serial port, as far as the tests need them.
const (
	uartData = 0
	uartMCR  = 4
	uartRTS  = 1 << 1
)

// Input goes to the serial port until hvc0's port is open, also what waits for
// the serial port at that moment, and again when hvc0 is reset.
func TestHandoverInput(t *testing.T) {
	com1, dev := serial.New("com1", noLine{}, io.Discard), virtiotest.Must(console.New())
	h := &handover{com1, dev.Console()}
	d := virtiotest.New(t, dev)
	serialReads := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		for i := range got {
			com1.ReadIO(uartData, got[i:i+1])
		}
		if string(got) != want {
			t.Errorf("the serial port reads %q, want %q", got, want)
		}
	}

	com1.WriteIO(uartMCR, []byte{uartRTS})
	if n, err := h.Input(t.Context(), []byte("a")); n != 1 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	serialReads("a")

	com1.WriteIO(uartMCR, []byte{0})
	done := make(chan error, 1)
	go func() {
		_, err := h.Input(t.Context(), []byte("later"))
		done <- err
	}()
	time.Sleep(10 * time.Millisecond) // for it to wait for the serial port, most of the times
	d.Start(0)
	room := d.In(16)
	if n := d.Queues[0].Do(room); string(d.Bytes(room.Addr, n)) != "later" {
		t.Errorf("hvc0 reads %q", d.Bytes(room.Addr, n))
	}
	if err := <-done; err != nil {
		t.Error(err)
	}

	d.Reset()
	com1.WriteIO(uartMCR, []byte{uartRTS})
	if _, err := h.Input(t.Context(), []byte("b")); err != nil {
		t.Error(err)
	}
	serialReads("b")
}

// What the guest has sent to the serial port is written before what it then sends
// to hvc0.
func TestHandoverOutput(t *testing.T) {
	var out bytes.Buffer
	w := writerFunc(func(p []byte) (int, error) {
		time.Sleep(time.Millisecond) // for the other device to be faster
		return out.Write(p)
	})
	com1, dev := serial.New("com1", noLine{}, w), virtiotest.Must(console.New())
	h := &handover{com1, dev.Console()}
	d := virtiotest.New(t, dev)
	d.Start(0)
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- com1.Run(ctx) }()
	go func() { done <- h.output(ctx, w) }()
	for _, c := range []byte("early ") {
		com1.WriteIO(uartData, []byte{c})
	}
	d.Queues[1].Do(d.Out([]byte("late")))
	if err := dev.Console().Drain(t.Context()); err != nil {
		t.Error(err)
	}
	stop()
	<-done
	<-done
	if out.String() != "early late" {
		t.Errorf("written: %q", out.String())
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
