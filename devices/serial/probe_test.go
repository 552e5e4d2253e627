package serial_test

import (
	"testing"
	"testing/synctest"
)

// TestLinuxAutoconfig follows what Linux' 8250 driver does to find out whether
// there is a chip, and which (autoconfig, autoconfig_16550a, size_fifo). Every
// step must answer as a 16550A, and as none of the chips that came after it.
func TestLinuxAutoconfig(t *testing.T) {
	p, irq := newPort()
	expect := func(what string, got, want uint8) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %#x, want %#x", what, got, want)
		}
	}

	// Is there a chip? Its four interrupt enables can be cleared and set.
	p.out(ier, 0)
	expect("IER cleared", p.in(ier)&0x0f, 0)
	p.out(ier, 0x0f)
	expect("IER set", p.in(ier)&0x0f, 0x0f)
	p.out(ier, 0)

	// Do the modem outputs come back in loopback?
	p.out(mcr, mcrLoop|mcrOUT2|mcrRTS)
	expect("MSR in loopback", p.in(msr)&0xf0, msrDCD|msrCTS)
	p.out(mcr, 0)

	// Which chip? Bits 7-6 of IIR tell the FIFOs.
	p.out(lcr, lcrConfB)
	p.out(efr, 0)
	p.out(lcr, 0)
	p.out(fcr, fcrEnable)
	expect("IIR with FIFOs on", p.in(iir)>>6, 3)

	// A 16650 has its EFR, reading as 0, behind DLAB or the magic LCR value.
	p.out(lcr, lcrDLAB)
	expect("no EFR behind DLAB", boolByte(p.in(efr) != 0), 1)
	p.out(lcr, lcrConfB)
	expect("no EFR behind LCR 0xbf", boolByte(p.in(efr) != 0), 1)

	// A National Semiconductor Super I/O has MCR's loopback bit in EXCR1.
	p.out(lcr, 0)
	before := p.in(mcr)
	p.out(lcr, 0xe0)
	if (p.in(2)^before)&mcrLoop == 0 {
		p.out(lcr, 0)
		p.out(mcr, before^mcrLoop)
		p.out(lcr, 0xe0)
		after := p.in(2)
		p.out(lcr, 0)
		p.out(mcr, before)
		expect("no EXCR1", boolByte((after^before)&mcrLoop == 0), 1)
	}

	// A 16750 has a 64-byte FIFO in bit 5 of IIR.
	p.out(lcr, 0)
	p.out(fcr, fcrEnable|0x20)
	expect("no 64-byte FIFO", p.in(iir)>>5, 6)
	p.out(lcr, lcrDLAB)
	p.out(fcr, fcrEnable|0x20)
	expect("no 64-byte FIFO behind DLAB", p.in(iir)>>5, 6)
	p.out(lcr, 0)
	p.out(fcr, fcrEnable)

	// An XScale has an enable for the whole unit in IER.
	p.out(ier, 0x40)
	expect("no UUE in IER", p.in(ier), 0)

	expect("depth of the FIFO", p.sizeFIFO(), 16)
	if irq.calls() != 0 {
		t.Errorf("%d changes of the interrupt line during the probe", irq.calls())
	}
}

func boolByte(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

// sizeFIFO sends 256 bytes in loopback and counts what arrives.
func (p port) sizeFIFO() (n uint8) {
	p.out(lcr, 0)
	p.out(fcr, fcrEnable|fcrClearRcvr|fcrClearXmit)
	p.out(mcr, mcrLoop)
	p.out(lcr, lcrDLAB)
	p.out(dll, 1)
	p.out(dlm, 0)
	p.out(lcr, lcr8n1)
	for i := range 256 {
		p.out(tx, uint8(i))
	}
	for p.in(lsr)&lsrDR != 0 && n < 255 {
		p.in(rx)
		n++
	}
	p.out(mcr, 0)
	return n
}

// TestLinuxStartup follows the tests for chips with faults that the driver makes
// when the port is opened. A chip that fails one is served by a timer.
func TestLinuxStartup(t *testing.T) {
	p, _ := newPort()
	if p.in(lsr) == 0xff {
		t.Fatal("LSR reads as all ones: no chip")
	}
	p.out(lcr, lcr8n1)

	// serial8250_THRE_test: does enabling THRI a second time interrupt again?
	p.out(ier, ierTHRI)
	first := p.in(iir)
	p.out(ier, 0)
	p.out(ier, ierTHRI)
	second := p.in(iir)
	p.out(ier, 0)
	if first&iirNoInt != 0 || second&iirNoInt != 0 {
		t.Errorf("THRE test: IIR = %#x, then %#x; want THRI both times", first, second)
	}

	// Does THRI interrupt when the transmitter is empty from the start?
	p.out(ier, ierTHRI)
	if l, i := p.in(lsr), p.in(iir); l&lsrTEMT == 0 || i&iirNoInt != 0 {
		t.Errorf("TXEN test: LSR = %#x, IIR = %#x; want TEMT and THRI", l, i)
	}
	p.out(ier, 0)

	// Enabling what is enabled already is no news.
	p.out(ier, ierTHRI)
	p.in(iir)
	p.out(ier, ierTHRI|ierRDI)
	if i := p.in(iir); i != iirNoInt {
		t.Errorf("IIR = %#x after IER kept THRI", i)
	}
}

// TestLinuxConsole follows serial8250_console_write: it waits for THRE before
// each byte, and for THRE and TEMT after the last, 10 ms each.
func TestLinuxConsole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, out := running(t)
		const line = "[    0.000000] Linux version 6.1.0\r\n"
		for i := range len(line) {
			if p.in(lsr)&lsrTHRE == 0 {
				t.Fatalf("THRE clear before byte %d", i)
			}
			p.out(tx, line[i])
		}
		if v := p.in(lsr); v&(lsrTHRE|lsrTEMT) != lsrTHRE|lsrTEMT {
			t.Errorf("LSR = %#x after the line, want THRE and TEMT", v)
		}
		drain(t, p)
		if out.String() != line || out.writes != 1 {
			t.Errorf("written %q in %d writes, want the line in 1", out, out.writes)
		}
	})
}
