package serial_test

import (
	"context"
	"testing"

	"microvm/devices/serial"
)

func newPort() (port, *pin) {
	irq := newPin()
	return port{serial.New("com1", irq, new(sink))}, irq
}

func TestAfterReset(t *testing.T) {
	used, _ := newPort()
	used.open(ierRDI | ierTHRI)
	if _, err := used.Input(context.Background(), []byte("x")); err != nil {
		t.Fatal(err)
	}
	used.out(scr, 1)
	used.Reset()
	fresh, _ := newPort()
	for name, p := range map[string]port{"new": fresh, "reset": used} {
		for reg, want := range []uint8{0, 0, iirNoInt, 0, 0, lsrTHRE | lsrTEMT, msrCTS | msrDSR | msrDCD, 0} {
			if got := p.in(uint64(reg)); got != want {
				t.Errorf("%s: register %d reads as %#x, want %#x", name, reg, got, want)
			}
		}
	}
}

func TestResetLowersTheLine(t *testing.T) {
	p, irq := newPort()
	p.open(ierTHRI)
	if !irq.level() {
		t.Fatal("no THRE interrupt")
	}
	p.Reset()
	if irq.level() {
		t.Error("the line is high after a reset")
	}
}

func TestWritableBits(t *testing.T) {
	for _, tc := range []struct {
		name string
		reg  uint64
		lcr  uint8
		want uint8 // bits that hold what is written
	}{
		{"IER", ier, 0, 0x0f},
		{"LCR", lcr, 0, 0xff},
		{"MCR", mcr, 0, 0x1f},
		{"SCR", scr, 0, 0xff},
		{"DLL", dll, lcrDLAB, 0xff},
		{"DLM", dlm, lcrDLAB, 0xff},
	} {
		p, _ := newPort()
		p.out(lcr, tc.lcr)
		for _, v := range []uint8{0xff, 0x00, 0x55, 0xaa} {
			p.out(tc.reg, v)
			if got := p.in(tc.reg); got != v&tc.want {
				t.Errorf("%s: wrote %#x, reads as %#x, want %#x", tc.name, v, got, v&tc.want)
			}
		}
	}
}

func TestDivisorLatchIsApart(t *testing.T) {
	p, _ := newPort()
	p.out(lcr, lcrDLAB)
	if p.in(dll) == 0 && p.in(dlm) == 0 {
		t.Error("the divisor is 0 after a reset; Linux' early console divides by it")
	}
	p.out(dll, 0x34)
	p.out(dlm, 0x12)
	p.out(lcr, lcr8n1)
	if v := p.in(ier); v != 0 {
		t.Errorf("IER = %#x after a write to DLM", v)
	}
	p.out(ier, ierRDI)
	p.out(lcr, lcrDLAB)
	if l, m := p.in(dll), p.in(dlm); l != 0x34 || m != 0x12 {
		t.Errorf("divisor = %#x %#x, want 0x12 0x34", m, l)
	}
}

func TestWideAccessIsByteByByte(t *testing.T) {
	p, _ := newPort()
	p.WriteIO(lcr, []byte{lcr8n1, mcrDTR})
	got := make([]byte, serial.Size)
	p.ReadIO(0, got)
	if got[lcr] != lcr8n1 || got[mcr] != mcrDTR || got[lsr] != lsrTHRE|lsrTEMT {
		t.Errorf("registers read as % x", got)
	}
}

func TestModemStatus(t *testing.T) {
	for _, tc := range []struct {
		name       string
		mcr        []uint8 // written one after the other, MSR read before the last
		status     uint8
		interrupts bool
	}{
		{"on the wire", []uint8{mcrOUT2, mcrOUT2 | mcrDTR | mcrRTS}, msrCTS | msrDSR | msrDCD, false},
		{"loopback of none", []uint8{0, mcrLoop}, msrDCTS | msrDDSR | msrDDCD, true},
		{"loopback of all", []uint8{mcrLoop, 0x1f}, msrCTS | msrDSR | msrRI | msrDCD | msrDCTS | msrDDSR | msrDDCD, true},
		{"loopback of RTS", []uint8{mcrLoop, mcrLoop | mcrRTS}, msrCTS | msrDCTS, true},
		{"loopback of DTR", []uint8{mcrLoop, mcrLoop | mcrDTR}, msrDSR | msrDDSR, true},
		{"RI rises", []uint8{mcrLoop, mcrLoop | mcrOUT1}, msrRI, false},
		{"RI falls", []uint8{mcrLoop | mcrOUT1, mcrLoop}, msrTERI, true},
		{"loopback of OUT2", []uint8{mcrLoop, mcrLoop | mcrOUT2}, msrDCD | msrDDCD, true},
	} {
		p, _ := newPort()
		last := len(tc.mcr) - 1
		for _, v := range tc.mcr[:last] {
			p.out(mcr, v)
		}
		p.in(msr)
		p.out(ier, ierMSI)
		p.out(mcr, tc.mcr[last])
		if got := p.in(iir) == iirMSI; got != tc.interrupts {
			t.Errorf("%s: interrupt %v, want %v", tc.name, got, tc.interrupts)
		}
		if got := p.in(msr); got != tc.status {
			t.Errorf("%s: MSR = %#x, want %#x", tc.name, got, tc.status)
		}
		if got := p.in(msr); got != tc.status&0xf0 {
			t.Errorf("%s: MSR = %#x when read again, want %#x", tc.name, got, tc.status&0xf0)
		}
		if got := p.in(iir); got != iirNoInt {
			t.Errorf("%s: IIR = %#x after MSR was read", tc.name, got)
		}
	}
}

// loopback sends s from the chip to itself.
func (p port) loopback(s string) {
	p.out(mcr, mcrLoop)
	p.write(s)
}

func TestOverrunInLoopback(t *testing.T) {
	for _, tc := range []struct {
		fcr   uint8
		depth int
	}{{0, 1}, {fcrEnable, 16}} {
		p, _ := newPort()
		p.out(fcr, tc.fcr)
		p.loopback("0123456789abcdef"[:tc.depth])
		if v := p.in(lsr); v&lsrOE != 0 || v&lsrDR == 0 {
			t.Errorf("depth %d: LSR = %#x with the FIFO just full", tc.depth, v)
		}
		p.out(tx, 'X')
		if v := p.in(lsr); v&lsrOE == 0 {
			t.Errorf("depth %d: no overrun reported", tc.depth)
		}
		if v := p.in(lsr); v&lsrOE != 0 {
			t.Errorf("depth %d: the overrun outlives the read of LSR", tc.depth)
		}
		var got []byte
		for p.in(lsr)&lsrDR != 0 {
			got = append(got, p.in(rx))
		}
		if want := "0123456789abcdef"[:tc.depth]; string(got) != want {
			t.Errorf("received %q, want %q", got, want)
		}
	}
}

func TestFIFOControlEmptiesTheReceiver(t *testing.T) {
	for _, tc := range []struct {
		name  string
		fcr   uint8
		empty bool
	}{
		{"enabled again", fcrEnable, false},
		{"transmitter cleared", fcrEnable | fcrClearXmit, false},
		{"receiver cleared", fcrEnable | fcrClearRcvr, true},
		{"disabled", 0, true},
	} {
		p, _ := newPort()
		p.out(fcr, fcrEnable)
		p.loopback("abc")
		p.out(fcr, tc.fcr)
		if got := p.in(lsr)&lsrDR == 0; got != tc.empty {
			t.Errorf("%s: empty %v, want %v", tc.name, got, tc.empty)
		}
	}
}
