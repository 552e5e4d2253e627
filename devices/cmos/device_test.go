package cmos_test

import (
	"testing"
	"time"

	"microvm/devices"
	"microvm/devices/cmos"
)

var _ devices.Device = (*cmos.Clock)(nil)

// Registers and bits in the guest's words: the names of Linux' mc146818rtc.h.
const (
	rtcSeconds, rtcMinutes, rtcHours = 0, 2, 4
	rtcDayOfWeek, rtcDayOfMonth      = 6, 7
	rtcMonth, rtcYear, rtcCentury    = 8, 9, 0x32
	rtcFreqSelect, rtcControl        = 10, 11
	rtcIntrFlags, rtcValid           = 12, 13

	rtcUIP                   = 0x80
	rtcSet, rtcBinary, rtc24 = 0x80, 0x04, 0x02
	rtcVRT                   = 0x80
)

// A pc is a guest's access to a clock, and the host's hand on time.
type pc struct {
	*cmos.Clock
	host time.Time
}

func newPC(host time.Time) *pc {
	p := &pc{host: host}
	p.Clock = cmos.New(func() time.Time { return p.host }, 512<<20)
	return p
}

func (p *pc) in(index uint8) uint8 {
	p.WriteIO(0, []byte{index})
	var b [1]byte
	p.ReadIO(1, b[:])
	return b[0]
}

func (p *pc) out(index, v uint8) {
	p.WriteIO(0, []byte{index})
	p.WriteIO(1, []byte{v})
}

// fields returns what the registers show, uninterpreted.
func (p *pc) fields() (f [8]uint8) {
	for i, index := range []uint8{rtcCentury, rtcYear, rtcMonth, rtcDayOfMonth, rtcDayOfWeek, rtcHours, rtcMinutes, rtcSeconds} {
		f[i] = p.in(index)
	}
	return f
}

func TestShowsTheHostsTime(t *testing.T) {
	date := func(year, month, day, hour, minute, second int) time.Time {
		return time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
	}
	for _, tc := range []struct {
		name    string
		host    time.Time
		control uint8
		want    [8]uint8 // century, year, month, day, day of the week, hours, minutes, seconds
	}{
		{"BCD, 24 hours", date(2026, 11, 21, 23, 59, 58), rtc24,
			[8]uint8{0x20, 0x26, 0x11, 0x21, 7, 0x23, 0x59, 0x58}},
		{"binary, 24 hours", date(2026, 11, 21, 23, 59, 58), rtc24 | rtcBinary,
			[8]uint8{20, 26, 11, 21, 7, 23, 59, 58}},
		{"BCD, noon", date(1999, 12, 31, 12, 0, 0), 0,
			[8]uint8{0x19, 0x99, 0x12, 0x31, 6, 0x92, 0, 0}},
		{"BCD, midnight", date(2000, 1, 1, 0, 0, 0), 0,
			[8]uint8{0x20, 0, 1, 1, 7, 0x12, 0, 0}},
		{"binary, 11 pm", date(2000, 2, 29, 23, 1, 2), rtcBinary,
			[8]uint8{20, 0, 2, 29, 3, 0x8b, 1, 2}},
		{"in UTC", date(2026, 7, 1, 0, 30, 0).In(time.FixedZone("", 2*60*60)), rtc24,
			[8]uint8{0x20, 0x26, 7, 1, 4, 0, 0x30, 0}},
	} {
		p := newPC(tc.host)
		p.out(rtcControl, tc.control)
		if got := p.fields(); got != tc.want {
			t.Errorf("%s: reads as %x, want %x", tc.name, got, tc.want)
		}
	}
}

// TestSetting sets the clock as Linux does, in each format, and lets an hour
// pass.
func TestSetting(t *testing.T) {
	for _, tc := range []struct {
		name          string
		control       uint8
		set, want     [8]uint8
		writeByItself bool // without SET
	}{
		{"BCD, 24 hours", rtc24, [8]uint8{0x19, 0x99, 0x12, 0x31, 0, 0x23, 0x30, 0x15},
			[8]uint8{0x20, 0x00, 0x01, 0x01, 7, 0x00, 0x30, 0x15}, false},
		{"binary, 24 hours", rtc24 | rtcBinary, [8]uint8{20, 24, 2, 28, 0, 23, 0, 0},
			[8]uint8{20, 24, 2, 29, 5, 0, 0, 0}, false},
		{"BCD, 12 hours", 0, [8]uint8{0x20, 0x30, 0x06, 0x15, 0, 0x11, 0, 0},
			[8]uint8{0x20, 0x30, 0x06, 0x15, 7, 0x92, 0, 0}, false},
		{"12 hours, past midnight", 0, [8]uint8{0x20, 0x30, 0x06, 0x15, 0, 0x92, 0, 0},
			[8]uint8{0x20, 0x30, 0x06, 0x15, 7, 0x81, 0, 0}, false},
		{"without SET", rtc24, [8]uint8{0x20, 0x30, 0x06, 0x15, 0, 0x11, 0, 0},
			[8]uint8{0x20, 0x30, 0x06, 0x15, 7, 0x12, 0, 0}, true},
	} {
		p := newPC(time.Date(2026, 1, 1, 1, 1, 1, 900e6, time.UTC))
		p.out(rtcControl, tc.control)
		if !tc.writeByItself {
			p.out(rtcControl, tc.control|rtcSet)
		}
		for i, index := range []uint8{rtcCentury, rtcYear, rtcMonth, rtcDayOfMonth, rtcDayOfWeek, rtcHours, rtcMinutes, rtcSeconds} {
			p.out(index, tc.set[i])
		}
		p.out(rtcControl, tc.control)
		p.host = p.host.Add(time.Hour)
		if got := p.fields(); got != tc.want {
			t.Errorf("%s: reads as %x after an hour, want %x", tc.name, got, tc.want)
		}
	}
}

func TestStandsStillWhileBeingSet(t *testing.T) {
	p := newPC(time.Date(2026, 1, 1, 1, 1, 1, 0, time.UTC))
	p.out(rtcControl, rtc24|rtcSet)
	before := p.fields()
	p.host = p.host.Add(time.Hour)
	if after := p.fields(); after != before {
		t.Errorf("reads as %x, then as %x", before, after)
	}
	p.out(rtcMinutes, 0xff)
	if v := p.in(rtcMinutes); v != 0xff {
		t.Errorf("minutes read as %#x while set to 0xff", v)
	}
	p.out(rtcControl, rtc24)
	p.host = p.host.Add(500*time.Millisecond - 1)
	if v := p.in(rtcSeconds); v != 0x01 {
		t.Errorf("seconds = %#x just under half a second after SET fell, want 0x01", v)
	}
	p.host = p.host.Add(1)
	if v := p.in(rtcSeconds); v != 0x02 {
		t.Errorf("seconds = %#x half a second after SET fell, want 0x02", v)
	}
}

func TestControlRegisters(t *testing.T) {
	p := newPC(time.Now())
	for _, tc := range []struct {
		name               string
		index              uint8
		reset, write, want uint8
	}{
		{"A: UIP stays clear", rtcFreqSelect, 0x26, 0xff, 0x7f},
		{"B: 24 hours, BCD", rtcControl, 0x02, 0x06, 0x06},
		{"C: no interrupt", rtcIntrFlags, 0, 0xff, 0},
		{"D: valid", rtcValid, rtcVRT, 0, rtcVRT},
		{"alarm", 1, 0, 0xc0, 0xc0},
		{"shutdown status, where Linux starts CPUs", 0x0f, 0, 0x0a, 0x0a},
		{"conventional memory, low", 0x15, 0x80, 0x80, 0x80},
		{"conventional memory, high", 0x16, 0x02, 0x02, 0x02},
		{"last byte", 0x7f, 0, 0x5a, 0x5a},
	} {
		if got := p.in(tc.index); got != tc.reset {
			t.Errorf("%s: %#x after reset, want %#x", tc.name, got, tc.reset)
		}
		p.out(tc.index, tc.write)
		if got := p.in(tc.index); got != tc.want {
			t.Errorf("%s: %#x after a write of %#x, want %#x", tc.name, got, tc.write, tc.want)
		}
	}
}

func TestMemorySize(t *testing.T) {
	for _, tc := range []struct {
		ram  uint64
		want uint16 // KiB above 1 MiB
	}{
		{0, 0}, {640 << 10, 0}, {1 << 20, 0}, {2 << 20, 1024}, {64 << 20, 63 << 10}, {1 << 30, 0xffff}, {1 << 63, 0xffff},
	} {
		p := &pc{Clock: cmos.New(time.Now, tc.ram)}
		for _, index := range []uint8{0x17, 0x30} {
			if got := uint16(p.in(index)) | uint16(p.in(index+1))<<8; got != tc.want {
				t.Errorf("%#x bytes: %#x says %d KiB, want %d", tc.ram, index, got, tc.want)
			}
		}
	}
}

func TestIndexPort(t *testing.T) {
	p := newPC(time.Now())
	p.out(0x80|0x40, 0x5a) // bit 7 masks NMIs
	if got := p.in(0x40); got != 0x5a {
		t.Errorf("register 0x40 = %#x after a write with NMIs masked, want 0x5a", got)
	}
	p.WriteIO(0, []byte{0x41, 0x77}) // one 16-bit write of index and data
	if got := p.in(0x41); got != 0x77 {
		t.Errorf("register 0x41 = %#x, want 0x77", got)
	}
	b := []byte{0, 0}
	if p.ReadIO(0, b); b[0] != 0xff || b[1] != 0x77 {
		t.Errorf("both ports read as % x, want ff 77", b)
	}
}

// FuzzRegisters holds for any order of accesses: nothing panics, the update
// never seems to be in progress, and the clock never shows what no calendar
// has unless the guest is setting it.
func FuzzRegisters(f *testing.F) {
	f.Add([]byte{rtcControl, rtcSet, rtcMonth, 0xff, rtcDayOfMonth, 0, rtcHours, 0xff, rtcControl, rtc24})
	f.Add([]byte{rtcControl, rtcBinary, rtcCentury, 0xff, rtcYear, 0xff, rtcHours, 0x80})
	f.Add([]byte{rtcCentury, 0, rtcYear, 0, rtcMonth, 0, rtcControl, 0})
	f.Fuzz(func(t *testing.T, program []byte) {
		p := newPC(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
		for i := 0; i+1 < len(program); i += 2 {
			p.out(program[i], program[i+1])
			p.host = p.host.Add(time.Second)
			if p.in(rtcFreqSelect)&rtcUIP != 0 {
				t.Fatal("update in progress")
			}
			if p.in(rtcControl)&rtcSet == 0 {
				checkCalendar(t, p)
			}
		}
	})
}

func checkCalendar(t *testing.T, p *pc) {
	t.Helper()
	value := func(v uint8) int {
		if p.in(rtcControl)&rtcBinary != 0 {
			return int(v)
		}
		if v&0xf > 9 || v>>4 > 9 {
			t.Fatalf("%#x is not BCD", v)
		}
		return int(v>>4)*10 + int(v&0xf)
	}
	within := func(what string, v uint8, low, high int) {
		if n := value(v); n < low || n > high {
			t.Fatalf("%s %d", what, n)
		}
	}
	within("century", p.in(rtcCentury), 17, 23)
	within("year", p.in(rtcYear), 0, 99)
	within("month", p.in(rtcMonth), 1, 12)
	within("day", p.in(rtcDayOfMonth), 1, 31)
	within("day of the week", p.in(rtcDayOfWeek), 1, 7)
	within("minute", p.in(rtcMinutes), 0, 59)
	within("second", p.in(rtcSeconds), 0, 59)
	if p.in(rtcControl)&rtc24 != 0 {
		within("hour", p.in(rtcHours), 0, 23)
	} else {
		within("hour", p.in(rtcHours)&^0x80, 1, 12)
	}
}
