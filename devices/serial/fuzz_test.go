package serial_test

import (
	"context"
	"testing"
	"testing/synctest"

	"microvm/devices/serial"
)

// What a fuzzed guest and its user do next: two bytes each, the kind of step
// with a register number, and a value.
const (
	stepRead  = 0 // the guest reads the register
	stepWrite = 1 // it writes the value to it
	stepSend  = 2 // it writes the value to THR 4,096 times
	stepInput = 3 // the user types so many bytes
	stepDrain = 4 // the host takes all that is sent
	steps     = 5
)

func step(kind, reg int, v byte) []byte { return []byte{byte(kind<<3 | reg), v} }

// FuzzRegisters holds for any order of register accesses, input and output:
// the line is high just when IIR names an interrupt, what the guest sends is
// either written or counted as lost, and nothing panics or hangs.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte(nil))
	f.Add(join(step(stepWrite, mcr, mcrOUT2|mcrRTS), step(stepWrite, fcr, fcrEnable|fcrTrigger14),
		step(stepWrite, ier, ierRDI|ierTHRI), step(stepInput, 0, 20), step(stepRead, iir, 0), step(stepRead, rx, 0),
		step(stepWrite, tx, 'x'), step(stepDrain, 0, 0)))
	f.Add(join(step(stepWrite, mcr, mcrOUT2), step(stepWrite, ier, ierTHRI), step(stepSend, 0, 0),
		step(stepSend, 0, 0), step(stepSend, 0, 0), step(stepSend, 0, 0), step(stepSend, 0, 0), step(stepSend, 0, 0),
		step(stepSend, 0, 0), step(stepSend, 0, 0), step(stepSend, 0, 0), step(stepDrain, 0, 0)))
	f.Add(join(step(stepWrite, mcr, mcrLoop), step(stepWrite, ier, ierRLSI|ierMSI), step(stepWrite, tx, 1),
		step(stepWrite, tx, 2), step(stepWrite, mcr, mcrLoop|mcrOUT1), step(stepWrite, mcr, mcrOUT2), step(stepRead, lsr, 0)))

	f.Fuzz(func(t *testing.T, program []byte) {
		synctest.Test(t, func(t *testing.T) {
			irq := newPin()
			g := &fuzzedGuest{port: port{serial.New("com1", irq, new(sink))}, irq: irq}
			start(t, g.UART)
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			for i := 0; i+1 < min(len(program), 400); i += 2 {
				g.step(ctx, t, int(program[i]>>3)%steps, uint64(program[i]&7), program[i+1])
				synctest.Wait()
				g.checkLine(t)
			}
			g.checkOutput(t)
		})
	})
}

func join(parts ...[]byte) (all []byte) {
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

type fuzzedGuest struct {
	port
	irq  *pin
	sent uint64 // bytes put on the wire
}

func (g *fuzzedGuest) step(ctx context.Context, t *testing.T, kind int, reg uint64, v byte) {
	onWire := g.in(lcr)&lcrDLAB == 0 && g.in(mcr)&mcrLoop == 0
	switch kind {
	case stepRead:
		g.in(reg)
	case stepWrite:
		g.out(reg, v)
		if reg == tx && onWire {
			g.sent++
		}
	case stepSend:
		for range 4096 {
			g.out(tx, v)
		}
		if onWire {
			g.sent += 4096
		}
	case stepInput:
		go g.Input(ctx, make([]byte, v))
	case stepDrain:
		drain(t, g.port)
	}
}

// checkLine compares the line with IIR. The one read that names none after a
// long row of others is followed by one that does.
func (g *fuzzedGuest) checkLine(t *testing.T) {
	connected := g.in(mcr)&(mcrOUT2|mcrLoop) == mcrOUT2
	high := g.irq.level()
	pending := g.in(iir)&iirNoInt == 0
	if !pending && high {
		pending = g.in(iir)&iirNoInt == 0
	}
	if high != (connected && pending) {
		t.Fatalf("line high %v, interrupt pending %v, connected to the bus %v", high, pending, connected)
	}
}

func (g *fuzzedGuest) checkOutput(t *testing.T) {
	drain(t, g.port)
	if c := g.Counts(); c.Out+c.Lost != g.sent {
		t.Fatalf("%d bytes sent, %d written and %d lost", g.sent, c.Out, c.Lost)
	}
}
