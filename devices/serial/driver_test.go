package serial_test

import (
	"sync"

	"microvm/devices"
	"microvm/devices/serial"
)

var _ devices.Device = (*serial.UART)(nil)

// The guest's view of the chip, in its own words: the names of Linux'
// serial_reg.h.
const (
	rx, tx, dll   = 0, 0, 0
	ier, dlm      = 1, 1
	iir, fcr, efr = 2, 2, 2
	lcr           = 3
	mcr           = 4
	lsr           = 5
	msr           = 6
	scr           = 7

	ierRDI, ierTHRI, ierRLSI, ierMSI = 0x01, 0x02, 0x04, 0x08

	iirNoInt, iirTHRI, iirRDI, iirRLSI, iirMSI, iirTimeout = 0x01, 0x02, 0x04, 0x06, 0x00, 0x0c
	iirID                                                  = 0x0f
	iirFIFO                                                = 0xc0

	fcrEnable, fcrClearRcvr, fcrClearXmit = 0x01, 0x02, 0x04
	fcrTrigger14                          = 0xc0

	lcr8n1, lcrDLAB, lcrConfB = 0x03, 0x80, 0xbf

	mcrDTR, mcrRTS, mcrOUT1, mcrOUT2, mcrLoop = 0x01, 0x02, 0x04, 0x08, 0x10

	lsrDR, lsrOE, lsrTHRE, lsrTEMT = 0x01, 0x02, 0x20, 0x40

	msrDCTS, msrDDSR, msrTERI, msrDDCD = 0x01, 0x02, 0x04, 0x08
	msrCTS, msrDSR, msrRI, msrDCD      = 0x10, 0x20, 0x40, 0x80
)

// passLimit is the number of rounds after which Linux' interrupt handler gives
// up with "too much work for irq" (PASS_LIMIT).
const passLimit = 512

// A port is a guest's access to a chip.
type port struct{ *serial.UART }

func (p port) in(reg uint64) uint8 {
	var b [1]byte
	p.ReadIO(reg, b[:])
	return b[0]
}

func (p port) out(reg uint64, v uint8) { p.WriteIO(reg, []byte{v}) }

func (p port) write(s string) {
	for i := range len(s) {
		p.out(tx, s[i])
	}
}

// open sets the chip up as Linux does when a program opens the port, to
// interrupt for the sources in enable.
func (p port) open(enable uint8) {
	p.out(fcr, fcrEnable)
	p.out(fcr, fcrEnable|fcrClearRcvr|fcrClearXmit)
	p.out(fcr, 0)
	p.in(lsr)
	p.in(rx)
	p.in(iir)
	p.in(msr)
	p.out(lcr, lcr8n1)
	p.out(mcr, mcrOUT2)
	p.out(ier, enable)
	p.out(fcr, fcrEnable)
	p.out(fcr, fcrEnable|fcrTrigger14)
	p.out(mcr, mcrOUT2|mcrDTR|mcrRTS)
}

// A pin is an interrupt line that counts, and that a guest can wait on as on an
// edge-triggered interrupt.
type pin struct {
	mu    sync.Mutex
	high  bool
	sets  int           // calls of Set
	edges chan struct{} // holds one if an edge has come since the last receive
	err   error
}

func newPin() *pin { return &pin{edges: make(chan struct{}, 1)} }

func (p *pin) Set(high bool) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if high && !p.high {
		select {
		case p.edges <- struct{}{}:
		default:
		}
	}
	p.high = high
	p.sets++
	return p.err
}

func (p *pin) level() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.high
}

func (p *pin) calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.sets
}

// A sink is a writer that a user can hold up: each Write waits for a value on
// gate, if there is one.
type sink struct {
	gate chan struct{}

	mu     sync.Mutex
	got    []byte
	writes int
}

func (s *sink) Write(p []byte) (int, error) {
	if s.gate != nil {
		<-s.gate
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, p...)
	s.writes++
	return len(p), nil
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.got)
}
