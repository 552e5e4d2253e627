package cmos

import "time"

// isTime reports whether the register at index shows the time.
func isTime(index uint8) bool {
	switch index {
	case regSeconds, regMinutes, regHours, regWeekday, regDay, regMonth, regYear, regCentury:
		return true
	}
	return false
}

// showTime puts the guest's time in the registers.
func (c *Clock) showTime() {
	t := c.guestNow()
	c.regs[regSeconds] = c.encode(t.Second())
	c.regs[regMinutes] = c.encode(t.Minute())
	c.regs[regHours] = c.encodeHours(t.Hour())
	c.regs[regWeekday] = c.encode(int(t.Weekday()) + 1)
	c.regs[regDay] = c.encode(t.Day())
	c.regs[regMonth] = c.encode(int(t.Month()))
	c.regs[regYear] = c.encode(t.Year() % 100)
	c.regs[regCentury] = c.encode(t.Year() / 100)
}

// takeTime makes what the registers say, and ns nanoseconds, the guest's time.
// A day 0 or a month 99 counts on from the year's start, and what is more than
// 292 years from now is as far as that: a guest that says so gets some time.
func (c *Clock) takeTime(ns int) {
	t := time.Date(
		c.decode(regCentury)*100+c.decode(regYear), time.Month(c.decode(regMonth)), c.decode(regDay),
		c.decodeHours(), c.decode(regMinutes), c.decode(regSeconds), ns, time.UTC)
	c.ahead = t.Sub(c.now())
}

// encode returns v, from 0 to 99, as a register has it.
func (c *Clock) encode(v int) uint8 {
	if c.regs[regB]&bBinary != 0 {
		return uint8(v)
	}
	return uint8(v/10<<4 | v%10)
}

func (c *Clock) decode(index uint8) int { return c.decodeByte(c.regs[index]) }

func (c *Clock) decodeByte(v uint8) int {
	if c.regs[regB]&bBinary != 0 {
		return int(v)
	}
	return int(v>>4)*10 + int(v&0xf)
}

// encodeHours returns the hour h, from 0 to 23, as its register has it.
func (c *Clock) encodeHours(h int) uint8 {
	if c.regs[regB]&b24h != 0 {
		return c.encode(h)
	}
	v := c.encode((h+11)%12 + 1) // 12, 1, 2 … 11
	if h >= 12 {
		v |= hoursPM
	}
	return v
}

func (c *Clock) decodeHours() int {
	if c.regs[regB]&b24h != 0 {
		return c.decode(regHours)
	}
	v := c.regs[regHours]
	h := c.decodeByte(v&^hoursPM) % 12
	if v&hoursPM != 0 {
		h += 12
	}
	return h
}
