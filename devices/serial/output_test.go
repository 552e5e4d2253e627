package serial_test

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"microvm/devices/serial"
)

// start runs u's writer until the test ends, and returns how to get Run's error.
func start(t testing.TB, u *serial.UART) (result <-chan error) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		done <- u.Run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return done
}

// running returns an opened port whose output is being written.
func running(t *testing.T) (port, *pin, *sink) {
	irq, out := newPin(), new(sink)
	p := port{serial.New("com1", irq, out)}
	p.open(ierTHRI)
	start(t, p.UART)
	return p, irq, out
}

func drain(t *testing.T, p port) {
	t.Helper()
	if err := p.Drain(context.Background()); err != nil {
		t.Errorf("Drain: %v", err)
	}
}

func TestOutputIsCoalesced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, out := running(t)
		synctest.Wait()
		p.write("hello, world\n")
		time.Sleep(100 * time.Millisecond)
		if out.String() != "hello, world\n" || out.writes != 1 {
			t.Errorf("written %q in %d writes, want the line in 1", out, out.writes)
		}
		p.write("more\n")
		drain(t, p)
		if out.String() != "hello, world\nmore\n" {
			t.Errorf("written %q", out)
		}
		if c, want := p.Counts(), (serial.Counts{Out: 18}); c != want {
			t.Errorf("counts = %+v, want %+v", c, want)
		}
	})
}

// sendPolitely sends s as a driver does that waits for THRE, by interrupt.
func (p port) sendPolitely(irq *pin, s string) {
	p.out(ier, 0)
	p.out(ier, ierTHRI)
	for {
		<-irq.edges
		for p.in(iir)&iirNoInt == 0 {
			if p.in(lsr)&lsrTHRE == 0 {
				continue
			}
			n := min(16, len(s))
			p.write(s[:n])
			if s = s[n:]; s == "" {
				p.out(ier, 0)
				return
			}
		}
	}
}

// TestSlowReader: a guest that waits for THRE is held up by a host that does not
// read, and loses nothing.
func TestSlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		irq, out := newPin(), &sink{gate: make(chan struct{})}
		p := port{serial.New("com1", irq, out)}
		p.open(ierTHRI)
		start(t, p.UART)

		text := strings.Repeat("All work and no play makes a dull guest.\n", 10_000)
		sent := make(chan struct{})
		go func() { defer close(sent); p.sendPolitely(irq, text) }()
		synctest.Wait()
		time.Sleep(time.Hour)
		select {
		case <-sent:
			t.Fatal("the guest was not held up")
		default:
		}
		if p.in(lsr)&(lsrTHRE|lsrTEMT) != 0 || irq.level() {
			t.Errorf("LSR = %#x, line high %v; want no THRE and a quiet line", p.in(lsr), irq.level())
		}
		close(out.gate)
		<-sent
		drain(t, p)
		if out.String() != text {
			t.Errorf("%d bytes written, want %d", len(out.String()), len(text))
		}
		if n := p.Counts().Lost; n != 0 {
			t.Errorf("%d bytes lost", n)
		}
	})
}

// TestRudeGuest: one that does not wait for THRE is not held up, and what we
// keep for it has a bound.
func TestRudeGuest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		irq, out := newPin(), &sink{gate: make(chan struct{})}
		p := port{serial.New("com1", irq, out)}
		p.open(0)
		start(t, p.UART)
		const sent = 1 << 20
		for range sent {
			p.out(tx, 'x')
		}
		close(out.gate)
		drain(t, p)
		c := p.Counts()
		if c.Out+c.Lost != sent || c.Out > 128<<10 || c.Out < 32<<10 {
			t.Errorf("counts = %+v for %d bytes, want at most 128 KiB kept", c, sent)
		}
		if p.in(lsr)&lsrTHRE == 0 {
			t.Error("THRE clear after all is written")
		}
	})
}

// TestReaderGone: a closed pipe ends Run, and does not hold the guest up.
func TestReaderGone(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	irq := newPin()
	p := port{serial.New("com1", irq, w)}
	p.open(ierTHRI)
	result := start(t, p.UART)
	p.out(tx, 'x')
	if err := <-result; !errors.Is(err, syscall.EPIPE) || !strings.Contains(err.Error(), "com1") {
		t.Errorf("Run: %v, want EPIPE of com1", err)
	}
	p.sendPolitely(irq, strings.Repeat("nobody hears ", 100_000))
	if c := p.Counts(); c.Out != 0 || c.Lost == 0 {
		t.Errorf("counts = %+v, want all lost", c)
	}
	if err := p.Drain(context.Background()); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("Drain: %v, want EPIPE", err)
	}
}

// TestReaderGoneWhileHeldUp: the failure of a write frees a guest that waits for
// THRE.
func TestReaderGoneWhileHeldUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		irq := newPin()
		r, w := io.Pipe()
		p := port{serial.New("com1", irq, w)}
		p.open(ierTHRI)
		start(t, p.UART)
		sent := make(chan struct{})
		go func() { defer close(sent); p.sendPolitely(irq, strings.Repeat("x", 1<<20)) }()
		synctest.Wait()
		time.Sleep(time.Hour)
		r.Close()
		<-sent
	})
}

func TestDrainIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		irq, out := newPin(), &sink{gate: make(chan struct{})}
		p := port{serial.New("com1", irq, out)}
		start(t, p.UART)
		p.write("last words")
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := p.Drain(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Drain of a writer that blocks: %v, want %v", err, context.DeadlineExceeded)
		}
		close(out.gate)
		drain(t, p)
		if out.String() != "last words" {
			t.Errorf("written %q", out)
		}
	})
}

func TestRunEndsWithItsContext(t *testing.T) {
	p, _ := newPort()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestLineFailureEndsRun(t *testing.T) {
	irq := newPin()
	irq.err = syscall.EBADF
	p := port{serial.New("com1", irq, io.Discard)}
	p.open(ierTHRI)
	if err := p.Run(context.Background()); !errors.Is(err, syscall.EBADF) {
		t.Errorf("Run: %v, want EBADF", err)
	}
}
