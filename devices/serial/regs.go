package serial

// The registers of a 16550A by offset (PC16550D data sheet, "Registers").
// Where two share an offset, the direction or the DLAB bit of LCR decides.
const (
	regRBR = 0 // R, DLAB=0: receive buffer, the oldest byte of the receive FIFO
	regTHR = 0 // W, DLAB=0: transmit holding, the next byte to send
	regDLL = 0 // RW, DLAB=1: divisor latch, low byte
	regIER = 1 // RW, DLAB=0: interrupt enable
	regDLM = 1 // RW, DLAB=1: divisor latch, high byte
	regIIR = 2 // R: interrupt identification; the read settles a THRE interrupt
	regFCR = 2 // W: FIFO control
	regLCR = 3 // RW: line control
	regMCR = 4 // RW: modem control
	regLSR = 5 // R: line status; the read settles an overrun
	regMSR = 6 // R: modem status; the read settles the changes
	regSCR = 7 // RW: scratch, for the driver's own use
)

// Size is the number of I/O ports that the chip takes.
const Size = 8

// Bits of IER, one for each kind of interrupt.
const (
	ierRDA = 1 << 0                            // received data available
	ierTHR = 1 << 1                            // transmit holding register empty
	ierRLS = 1 << 2                            // receiver line status: overrun
	ierMSI = 1 << 3                            // modem status: one of its inputs changed
	ierAll = ierRDA | ierTHR | ierRLS | ierMSI // the others read as 0; a driver takes them for a newer chip
)

// Values of IIR bits 3-0, the most urgent interrupt (data sheet, "Interrupt Identification Register").
const (
	iirNone    = 0x1  // no interrupt pending
	iirMSI     = 0x0  // modem status: least urgent
	iirTHR     = 0x2  // transmit holding register empty
	iirRDA     = 0x4  // receive FIFO has reached its trigger level
	iirRLS     = 0x6  // receiver line status: most urgent
	iirTimeout = 0xc  // bytes below the trigger level are waiting; as urgent as iirRDA
	iirFIFOs   = 0xc0 // bits 7-6: the FIFOs are on, and work: what tells a 16550A from a 16550
)

// Bits of FCR.
const (
	fcrEnable       = 1 << 0 // FIFOs on; a change of it empties them
	fcrClearRx      = 1 << 1 // empty the receive FIFO; clears itself
	fcrTriggerShift = 6      // bits 7-6: trigger level of the receive FIFO, an index of triggers
)

// triggers are the levels at which the receive FIFO interrupts, in bytes.
var triggers = [4]int{1, 4, 8, 14}

// Bits of LCR. The others set the frame on the wire, which we have none of.
const lcrDLAB = 1 << 7 // divisor latch access

// Bits of MCR.
const (
	mcrDTR  = 1 << 0                                        // data terminal ready
	mcrRTS  = 1 << 1                                        // request to send: the guest is ready to receive
	mcrOUT1 = 1 << 2                                        // a free output; a PC does not use it
	mcrOUT2 = 1 << 3                                        // a free output; on a PC it lets the interrupt through to the bus
	mcrLoop = 1 << 4                                        // loopback: the outputs feed the inputs, the pins are idle
	mcrAll  = mcrDTR | mcrRTS | mcrOUT1 | mcrOUT2 | mcrLoop // the others read as 0
)

// Bits of LSR.
const (
	lsrDR   = 1 << 0 // data ready: the receive FIFO has a byte
	lsrOE   = 1 << 1 // overrun: a byte was lost for want of room; cleared by reading
	lsrTHRE = 1 << 5 // transmit holding register (or FIFO) empty
	lsrTEMT = 1 << 6 // transmitter empty altogether
)

// Bits of MSR: changes since the last read in 3-0, the inputs in 7-4.
const (
	msrDCTS = 1 << 0 // CTS changed
	msrDDSR = 1 << 1 // DSR changed
	msrTERI = 1 << 2 // RI fell
	msrDDCD = 1 << 3 // DCD changed
	msrCTS  = 1 << 4 // clear to send; in loopback what RTS is
	msrDSR  = 1 << 5 // data set ready; in loopback what DTR is
	msrRI   = 1 << 6 // ring indicator; in loopback what OUT1 is
	msrDCD  = 1 << 7 // data carrier detect; in loopback what OUT2 is

	msrChanges = msrDCTS | msrDDSR | msrTERI | msrDDCD
)

// resetDivisor is the divisor latch after a reset: 115200 baud from the PC's
// clock of 1.8432 MHz. The chip leaves it undefined, but Linux' early console
// divides by what it finds.
const resetDivisor = 1
