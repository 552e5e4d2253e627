package serial_test

import (
	"testing"
)

// TestPriority has all four interrupts pending, and settles one after the
// other: each time the next one appears, most urgent first.
func TestPriority(t *testing.T) {
	p, _ := newPort()
	p.out(fcr, fcrEnable|fcrTrigger14)
	p.out(ier, ierRDI|ierTHRI|ierRLSI|ierMSI)
	p.loopback("0123456789abcdefX")
	drain := func() {
		for range 14 {
			p.in(rx)
		}
	}
	for _, step := range []struct {
		id     uint8
		name   string
		settle func()
	}{
		{iirRLSI, "line status", func() { p.in(lsr) }},
		{iirRDI, "received data", drain},
		{iirTimeout, "received data below the trigger", func() { p.in(rx); p.in(rx) }},
		{iirTHRI, "transmitter empty", func() {}}, // the read of IIR settles it
		{iirMSI, "modem status", func() { p.in(msr) }},
		{iirNoInt, "none", func() {}},
	} {
		if got := p.in(iir); got != iirFIFO|step.id {
			t.Errorf("%s: IIR = %#x, want %#x", step.name, got, iirFIFO|step.id)
		}
		step.settle()
	}
}

func TestTriggerLevels(t *testing.T) {
	for bits, level := range []int{1, 4, 8, 14} {
		p, _ := newPort()
		p.out(ier, ierRDI)
		p.out(fcr, fcrEnable|uint8(bits)<<6)
		for n := 1; n <= 16; n++ {
			p.loopback("x")
			want := uint8(iirFIFO | iirTimeout)
			if n >= level {
				want = iirFIFO | iirRDI
			}
			if got := p.in(iir); got != want {
				t.Errorf("trigger level %d, %d bytes: IIR = %#x, want %#x", level, n, got, want)
			}
		}
	}
}

// TestNoNewEdgeWhileAnotherIsPending: the line stays high, untouched, until the
// last interrupt is settled. So a driver must serve the chip until IIR names
// none, and one that does misses nothing.
func TestNoNewEdgeWhileAnotherIsPending(t *testing.T) {
	p, irq := newPort()
	p.out(fcr, fcrEnable)
	p.out(mcr, mcrLoop)
	p.out(ier, ierRDI|ierTHRI)
	p.write("ab") // into its own receiver
	p.out(mcr, mcrOUT2)
	if !irq.level() || irq.calls() != 1 {
		t.Fatalf("line high %v after %d calls, want true after 1", irq.level(), irq.calls())
	}
	p.in(rx)
	p.in(rx)
	if !irq.level() || irq.calls() != 1 {
		t.Errorf("received data settled: line high %v after %d calls; THRE is still pending", irq.level(), irq.calls())
	}
	if got := p.in(iir) & iirID; got != iirTHRI {
		t.Errorf("IIR = %#x, want THRI", got)
	}
	if irq.level() || irq.calls() != 2 {
		t.Errorf("all settled: line high %v after %d calls, want false after 2", irq.level(), irq.calls())
	}
	p.out(tx, 'c')
	if !irq.level() || irq.calls() != 3 {
		t.Errorf("sent, and the transmitter empty again: line high %v after %d calls, want true after 3", irq.level(), irq.calls())
	}
}

// TestOUT2 is the gate that a PC has between the chip and the bus.
func TestOUT2(t *testing.T) {
	p, irq := newPort()
	p.out(ier, ierTHRI)
	if irq.level() {
		t.Error("interrupt without OUT2")
	}
	p.out(mcr, mcrOUT2)
	if !irq.level() {
		t.Error("no interrupt with OUT2")
	}
	p.out(mcr, mcrOUT2|mcrLoop)
	if irq.level() {
		t.Error("interrupt in loopback, where the pin OUT2 is idle")
	}
}

// TestHandlerComesToAnEnd: a driver that sends a FIFO's worth in each round
// while a host takes it as fast, or is sent one, finds an end of its rounds, and
// a new edge after it.
func TestHandlerComesToAnEnd(t *testing.T) {
	for name, serve := range map[string]func(p port){
		"sending":   func(p port) { p.write("0123456789abcdef") },
		"receiving": func(p port) { p.in(rx); p.receive(t, "x") },
	} {
		p, irq := newPort()
		p.open(ierRDI | ierTHRI)
		p.receive(t, "x")
		<-irq.edges
		rounds := 0
		for p.in(iir)&iirNoInt == 0 && rounds < passLimit {
			serve(p)
			rounds++
		}
		if rounds == passLimit {
			t.Errorf("%s: Linux would give up after %d rounds", name, rounds)
		}
		select {
		case <-irq.edges:
		default:
			t.Errorf("%s: work is left after %d rounds, but no new edge", name, rounds)
		}
		if !irq.level() || p.in(iir)&iirNoInt != 0 {
			t.Errorf("%s: line high %v; the interrupt is lost", name, irq.level())
		}
	}
}
