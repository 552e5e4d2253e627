// Package serial is a 16550A UART, the serial port of a PC (PC16550D data
// sheet, National Semiconductor 1995), without the wire: a byte that the guest
// sends is out at once, and baud rate and framing have no effect.
//
// The host's side is three blocking calls. [UART.Run] writes what the guest
// sends; [UART.Input] gives it what to receive; [UART.Drain]
// waits at the end until the last line is out.
//
// What a hostile guest can try, and what stops it:
//
//	sends without end             THRE goes clear at outHold bytes; from outLimit on, bytes are lost
//	sends to a reader that sleeps no register access waits for the host: Run writes, not the vCPU
//	never reads its input         Input waits; it holds no more than its caller's buffer
//	changes IER, FCR, MCR at will levels are derived from the registers, never counted up or down
//	raises interrupts without end each costs the guest a register access of its own
//
// # Interrupts
//
// The chip's output is high while any enabled interrupt is pending, and on a
// PC it reaches the bus only while OUT2 is set. The line is told of changes
// only. It is edge-triggered, so a second interrupt that comes before the first
// is settled makes no new edge: a driver has to serve the chip until IIR names
// nothing, as Linux' does.
//
// # Input and RTS
//
// Input waits until the guest asserts RTS, the signal for "ready to receive"
// where a wire has hardware flow control. Linux asserts it when a program has
// opened the port, after it has emptied the FIFOs, so that what a user has
// typed (or piped) ahead is not lost. With CRTSCTS set it also takes RTS back
// while its own buffers are full.
package serial

import (
	"io"
	"sync"

	"microvm/devices"
)

// A UART is one 16550A. Its methods may be called from any goroutine.
//
// The UART calls its Line with mu held and its writer without; neither may call
// back into the UART.
type UART struct {
	name string
	line devices.Line
	out  io.Writer

	mu sync.Mutex // guards all below; no other lock is taken under it but the Line's own

	ier, lcr, mcr, scr uint8
	dll, dlm           uint8
	msrDelta           uint8 // bits 3-0 of MSR
	fifos              bool  // FCR: the FIFOs are on
	trigger            int   // FCR: bytes in rx that make an RDA interrupt
	overrun            bool  // LSR.OE
	thrPending         bool  // THR has emptied, and neither an IIR read nor IER has settled it
	high               bool  // what the line was last told
	rounds             int   // IIR reads in a row that named an interrupt

	rx      fifo
	canRecv sync.Cond // rx is empty, or RTS or the depth of rx changed: Input waits

	pending  []byte    // sent by the guest, not yet taken by Run
	writing  int       // bytes of the batch that Run has in its hands
	canWrite sync.Cond // pending is no longer empty, or err: Run waits
	drained  sync.Cond // pending is empty and writing false, or err: Drain waits

	counts Counts
	err    error // the first failure of out or of line; then all output is dropped
}

// Counts says how many bytes went over the wire.
type Counts struct {
	In   uint64 `json:"in"`   // into the receive FIFO from the host
	Out  uint64 `json:"out"`  // sent by the guest, and written
	Lost uint64 `json:"lost"` // sent by the guest while there was no room, or nowhere to write to
}

// New returns a UART as after a reset. It interrupts by line and sends to out.
func New(name string, line devices.Line, out io.Writer) *UART {
	u := &UART{name: name, line: line, out: out}
	u.canRecv.L, u.canWrite.L, u.drained.L = &u.mu, &u.mu, &u.mu
	u.reset()
	return u
}

// Name implements [devices.Device].
func (u *UART) Name() string { return u.name }

// Counts returns the traffic so far.
func (u *UART) Counts() Counts {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.counts
}

// Reset puts the registers and the receive FIFO in the state after a reset of
// the machine. What the guest has sent is still written, and what Input has
// not yet handed over is not lost.
func (u *UART) Reset() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.reset()
	u.update()
	u.canRecv.Broadcast()
}

func (u *UART) reset() {
	u.ier, u.lcr, u.mcr, u.scr = 0, 0, 0, 0
	u.dll, u.dlm = resetDivisor, 0
	u.msrDelta, u.fifos, u.trigger, u.overrun = 0, false, triggers[0], false
	u.thrPending, u.rounds = false, 0
	u.rx = fifo{}
}

// ReadIO implements [devices.Device]. The registers are a byte wide; a wider
// access is as many of them as it covers, as the ISA bus splits it.
func (u *UART) ReadIO(off uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i := range p {
		p[i] = u.read(off + uint64(i))
	}
	u.update()
}

// WriteIO implements [devices.Device]; see ReadIO for wider accesses.
func (u *UART) WriteIO(off uint64, p []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for i, v := range p {
		u.write(off+uint64(i), v)
	}
	u.update()
}

func (u *UART) read(off uint64) uint8 {
	dlab := u.lcr&lcrDLAB != 0
	switch {
	case off == regDLL && dlab:
		return u.dll
	case off == regDLM && dlab:
		return u.dlm
	}
	switch off {
	case regRBR:
		return u.readRBR()
	case regIER:
		return u.ier
	case regIIR:
		return u.readIIR()
	case regLCR:
		return u.lcr
	case regMCR:
		return u.mcr
	case regLSR:
		return u.readLSR()
	case regMSR:
		return u.readMSR()
	case regSCR:
		return u.scr
	}
	return 0xff // no register: an undriven bus
}

func (u *UART) write(off uint64, v uint8) {
	dlab := u.lcr&lcrDLAB != 0
	switch {
	case off == regDLL && dlab:
		u.dll = v
		return
	case off == regDLM && dlab:
		u.dlm = v
		return
	}
	switch off {
	case regTHR:
		u.writeTHR(v)
	case regIER:
		u.writeIER(v)
	case regFCR:
		u.writeFCR(v)
	case regLCR:
		u.lcr = v
	case regMCR:
		u.writeMCR(v)
	case regSCR:
		u.scr = v
	}
}

func (u *UART) readRBR() uint8 {
	b := u.rx.pop()
	if u.rx.n == 0 {
		u.canRecv.Broadcast()
	}
	return b
}

// writeTHR sends a byte, in loopback to the receiver. THR is empty again at
// once if there is room for more; if not, when Run has made room.
func (u *UART) writeTHR(v uint8) {
	if u.mcr&mcrLoop != 0 {
		if u.rx.push([]byte{v}, u.depth()) == 0 {
			u.overrun = true
		}
	} else {
		u.send(v)
	}
	u.thrPending = u.thrEmpty()
}

// writeIER enables interrupts. Enabling the THRE interrupt while THR is empty
// raises it, each time anew: Linux' driver starts to send by that, and its
// probe looks for chips that forget it.
func (u *UART) writeIER(v uint8) {
	v &= ierAll
	if v&^u.ier&ierTHR != 0 {
		u.thrPending = u.thrEmpty()
	}
	u.ier = v
}

// writeFCR controls the FIFOs. There is no transmit FIFO to empty: what was
// sent is gone.
func (u *UART) writeFCR(v uint8) {
	on := v&fcrEnable != 0
	if on != u.fifos || v&fcrClearRx != 0 {
		u.rx = fifo{}
		u.canRecv.Broadcast()
	}
	u.fifos, u.trigger = on, triggers[0]
	if on {
		u.trigger = triggers[v>>fcrTriggerShift]
	}
}

// depth is how many bytes the receiver holds.
func (u *UART) depth() int {
	if u.fifos {
		return fifoSize
	}
	return 1
}

func (u *UART) writeMCR(v uint8) {
	before := u.modemInputs()
	u.mcr = v & mcrAll
	after := u.modemInputs()

	// The change of the inputs CTS, DSR, RI and DCD is reported four bits
	// below them; of RI only the fall.
	changed := (before ^ after) &^ (after & msrRI)
	u.msrDelta |= changed >> 4
	u.canRecv.Broadcast()
}

// modemInputs returns bits 7-4 of MSR. The other end of our cable is always
// there and ready.
func (u *UART) modemInputs() (in uint8) {
	if u.mcr&mcrLoop == 0 {
		return msrCTS | msrDSR | msrDCD
	}
	for _, pair := range [...]struct{ out, in uint8 }{
		{mcrRTS, msrCTS}, {mcrDTR, msrDSR}, {mcrOUT1, msrRI}, {mcrOUT2, msrDCD},
	} {
		if u.mcr&pair.out != 0 {
			in |= pair.in
		}
	}
	return in
}

func (u *UART) readMSR() uint8 {
	v := u.modemInputs() | u.msrDelta
	u.msrDelta = 0
	return v
}

// readLSR tells TEMT together with THRE: Linux' console waits for TEMT after
// each line, and what we still hold it cannot lose.
func (u *UART) readLSR() (v uint8) {
	if u.rx.n > 0 {
		v |= lsrDR
	}
	if u.overrun {
		v |= lsrOE
	}
	if u.thrEmpty() {
		v |= lsrTHRE | lsrTEMT
	}
	u.overrun = false
	return v
}
