package serial_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
)

// receive gives the chip s, for which it must have room.
func (p port) receive(t *testing.T, s string) {
	t.Helper()
	if n, err := p.Input(context.Background(), []byte(s)); n != len(s) || err != nil {
		t.Fatalf("Input(%q) = %d, %v", s, n, err)
	}
}

// readByInterrupt reads n bytes with interrupts, as Linux' driver does.
func (p port) readByInterrupt(irq *pin, n int) (got []byte, overruns int) {
	for len(got) < n {
		<-irq.edges
		for p.in(iir)&iirNoInt == 0 {
			for {
				status := p.in(lsr)
				if status&lsrOE != 0 {
					overruns++
				}
				if status&lsrDR == 0 {
					break
				}
				got = append(got, p.in(rx))
			}
		}
	}
	return got, overruns
}

// readByPolling reads n bytes, and takes back RTS at times, as a driver does
// whose buffers are full.
func (p port) readByPolling(_ *pin, n int) (got []byte, overruns int) {
	for len(got) < n {
		status := p.in(lsr)
		if status&lsrOE != 0 {
			overruns++
		}
		if status&lsrDR != 0 {
			got = append(got, p.in(rx))
		} else {
			runtime.Gosched()
		}
		switch rand.IntN(100) {
		case 0:
			p.out(mcr, mcrDTR|mcrOUT2)
		case 1, 2, 3:
			p.out(mcr, mcrDTR|mcrOUT2|mcrRTS)
		}
	}
	return got, overruns
}

// give hands text to the guest, size bytes at a time.
func (p port) give(text []byte, size int) error {
	for chunk := range slices.Chunk(text, size) {
		if _, err := p.Input(context.Background(), chunk); err != nil {
			return err
		}
	}
	return nil
}

func TestInput(t *testing.T) {
	text := make([]byte, 20_000)
	for i := range text {
		text[i] = byte(rand.Uint32())
	}
	for _, tc := range []struct {
		name string
		fcr  uint8
		read func(p port, irq *pin, n int) ([]byte, int)
		size int // bytes given at a time
	}{
		{"by interrupt", fcrEnable | fcrTrigger14, port.readByInterrupt, len(text)},
		{"by interrupt, no FIFO", 0, port.readByInterrupt, len(text)},
		{"by polling", fcrEnable | fcrTrigger14, port.readByPolling, len(text)},
		{"by polling, no FIFO", 0, port.readByPolling, len(text)},
		{"byte by byte", fcrEnable | fcrTrigger14, port.readByInterrupt, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p, irq := newPort()
			p.open(ierRDI)
			p.out(fcr, tc.fcr)
			given := make(chan error)
			go func() { given <- p.give(text, tc.size) }()
			got, overruns := tc.read(p, irq, len(text))
			if err := <-given; err != nil {
				t.Errorf("Input: %v", err)
			}
			if overruns != 0 || !bytes.Equal(got, text) {
				t.Errorf("%d bytes read, %d overruns; want the %d bytes given", len(got), overruns, len(text))
			}
			if n := p.Counts().In; n != uint64(len(text)) {
				t.Errorf("%d bytes counted", n)
			}
		})
	}
}

// TestInputWaitsForRTS: what is typed before the guest has opened the port
// outlives the opening, which empties the FIFO.
func TestInputWaitsForRTS(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPort()
		done := make(chan error)
		go func() {
			_, err := p.Input(t.Context(), []byte("ahead"))
			done <- err
		}()
		synctest.Wait()
		p.out(mcr, mcrLoop|mcrRTS) // the driver's probe
		synctest.Wait()
		p.out(mcr, 0)
		p.open(ierRDI)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		var got []byte
		for p.in(lsr)&lsrDR != 0 {
			got = append(got, p.in(rx))
		}
		if string(got) != "ahead" {
			t.Errorf("the guest reads %q, want %q", got, "ahead")
		}
	})
}

// TestResetKeepsInput: what Input holds when the guest resets goes to whoever
// opens the port next.
func TestResetKeepsInput(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPort()
		p.open(ierRDI)
		done := make(chan error)
		go func() {
			_, err := p.Input(t.Context(), []byte("0123456789abcdef+rest"))
			done <- err
		}()
		synctest.Wait()
		p.Reset()
		synctest.Wait()
		p.open(ierRDI)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b := p.in(rx); b != '+' {
			t.Errorf("first byte after the reset is %q, want %q", b, '+')
		}
	})
}

func TestInputEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := newPort()
		p.open(0)
		ctx, cancel := context.WithCancel(t.Context())
		type result struct {
			n   int
			err error
		}
		done := make(chan result)
		go func() {
			n, err := p.Input(ctx, make([]byte, 100))
			done <- result{n, err}
		}()
		synctest.Wait()
		cancel()
		if r := <-done; r.n != 16 || !errors.Is(r.err, context.Canceled) {
			t.Errorf("Input = %d, %v; want 16 and %v", r.n, r.err, context.Canceled)
		}
	})
}
