package serial

import "fmt"

// maxRounds is how often in a row IIR may name an interrupt. A real wire is
// slower than any driver, so that drivers serve the chip until it wants
// nothing; ours is never slower, and under load that moment might not come.
// Linux gives up after 512 rounds with an error in its log ("too much work").
// So after this many, one read says that nothing is pending; the driver leaves,
// and the line, low for an instant, rings again.
const maxRounds = 64

// pendingInterrupt returns IIR bits 3-0: the most urgent interrupt that is
// enabled and pending, or iirNone.
//
// A real chip waits for four characters' time before it reports bytes below
// the trigger level; here no more than these are coming, so it is at once.
func (u *UART) pendingInterrupt() uint8 {
	switch {
	case u.ier&ierRLS != 0 && u.overrun:
		return iirRLS
	case u.ier&ierRDA != 0 && u.rx.n >= u.trigger:
		return iirRDA
	case u.ier&ierRDA != 0 && u.rx.n > 0:
		return iirTimeout
	case u.ier&ierTHR != 0 && u.thrPending:
		return iirTHR
	case u.ier&ierMSI != 0 && u.msrDelta&msrChanges != 0:
		return iirMSI
	}
	return iirNone
}

func (u *UART) readIIR() uint8 {
	id := u.pendingInterrupt()
	switch {
	case id == iirNone:
		u.rounds = 0
	case u.rounds == maxRounds:
		u.rounds = 0
		u.setLine(false) // the caller's update raises it
		id = iirNone
	case id == iirTHR:
		u.thrPending = false
		u.rounds++
	default:
		u.rounds++
	}
	if u.fifos {
		id |= iirFIFOs
	}
	return id
}

// update makes the line agree with the registers. Whoever changed them calls
// it before mu is released, once, so that no change of an instant is seen.
func (u *UART) update() {
	connected := u.mcr&(mcrOUT2|mcrLoop) == mcrOUT2 // in loopback the pin OUT2 is idle
	u.setLine(connected && u.pendingInterrupt() != iirNone)
}

func (u *UART) setLine(high bool) {
	if high == u.high {
		return
	}
	u.high = high
	if err := u.line.Set(high); err != nil {
		u.fail(fmt.Errorf("%s: interrupt line: %w", u.name, err))
	}
}
