// Package cmos is a PC's clock and battery-backed memory, the Motorola
// MC146818A at I/O ports 0x70 and 0x71. It tells the host's time in UTC.
//
// It has no interrupt: no alarm, no periodic and no update interrupt, so an ACPI
// description of it should list none. Linux then says "no alarms" and goes
// without.
//
// A hostile guest can set any time and overwrite any byte. Both are its own:
// the time is kept as a difference from the host's, and any value of a
// register, valid or not, is some time.
package cmos

import (
	"encoding/binary"
	"math"
	"sync"
	"time"
)

// A Clock is the chip. Its methods may be called from any goroutine.
type Clock struct {
	now func() time.Time // called with mu held; does not call back

	mu    sync.Mutex // guards all below; no lock is taken under it
	index uint8
	ahead time.Duration // of the guest's time over the host's
	regs  [numRegs]uint8
}

// New returns a clock that shows the time of now, in a machine with ram bytes
// of memory from address 0 on, without a gap.
func New(now func() time.Time, ram uint64) *Clock {
	c := &Clock{now: now}
	c.regs[regA], c.regs[regB], c.regs[regD] = aReset, b24h, dValid
	const mib = 1 << 20
	ext := uint16(min((max(ram, mib)-mib)>>10, math.MaxUint16))
	binary.LittleEndian.PutUint16(c.regs[regBaseLow:], baseKiB)
	binary.LittleEndian.PutUint16(c.regs[regExtLow:], ext)
	binary.LittleEndian.PutUint16(c.regs[regExtFoundLow:], ext)
	return c
}

// Name implements devices.Device.
func (c *Clock) Name() string { return "cmos" }

// ReadIO implements devices.Device. The index cannot be read.
func (c *Clock) ReadIO(off uint64, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range p {
		p[i] = 0xff
		if off+uint64(i) == portData {
			p[i] = c.read()
		}
	}
}

// WriteIO implements devices.Device.
func (c *Clock) WriteIO(off uint64, p []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, v := range p {
		switch off + uint64(i) {
		case portIndex:
			c.index = v % numRegs
		case portData:
			c.write(v)
		}
	}
}

func (c *Clock) read() uint8 {
	if isTime(c.index) && !c.setting() {
		c.showTime()
	}
	return c.regs[c.index]
}

func (c *Clock) write(v uint8) {
	switch {
	case isTime(c.index):
		c.writeTime(v)
	case c.index == regA:
		c.regs[regA] = v &^ aUIP
	case c.index == regB:
		c.writeB(v)
	case c.index == regC || c.index == regD: // read-only
	default:
		c.regs[c.index] = v
	}
}

// writeTime sets one register of the time, which runs on from there unless the
// guest is about to set more of them.
func (c *Clock) writeTime(v uint8) {
	if c.setting() {
		c.regs[c.index] = v
		return
	}
	c.showTime()
	c.regs[c.index] = v
	c.takeTime(c.guestNow().Nanosecond())
}

// writeB stops the time when SET rises. When it falls, the time runs on from
// what the registers say, and its next second begins half a second later, as
// Linux allows for when it sets the clock.
func (c *Clock) writeB(v uint8) {
	was := c.setting()
	if !was {
		c.showTime()
	}
	c.regs[regB] = v
	if was && !c.setting() {
		c.takeTime(int(500 * time.Millisecond))
	}
}

func (c *Clock) setting() bool { return c.regs[regB]&bSet != 0 }

func (c *Clock) guestNow() time.Time { return c.now().Add(c.ahead).UTC() }
