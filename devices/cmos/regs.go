package cmos

// The I/O ports by offset from 0x70.
const (
	portIndex = 0 // W: bits 6-0 choose a register; bit 7 masks NMIs, of which there are none
	portData  = 1 // RW: the chosen register

	// Size is the number of I/O ports.
	Size = 2
)

// The registers by index. Up to 0x0d they are the clock's (MC146818A data
// sheet, "Address Map"), from there on bytes of battery-backed RAM to which the
// IBM PC/AT gave a meaning.
const (
	regSeconds      = 0x00 // RW
	regSecondsAlarm = 0x01 // RW: kept, but no alarm rings
	regMinutes      = 0x02 // RW
	regMinutesAlarm = 0x03 // RW: as 0x01
	regHours        = 0x04 // RW: with 12 hours, bit 7 is PM
	regHoursAlarm   = 0x05 // RW: as 0x01
	regWeekday      = 0x06 // RW: 1 is Sunday; follows from the date
	regDay          = 0x07 // RW: day of the month, from 1
	regMonth        = 0x08 // RW: from 1
	regYear         = 0x09 // RW: of the century
	regA            = 0x0a // RW: bit 7 UIP: update in progress, always clear; divider and rate
	regB            = 0x0b // RW: the controls below
	regC            = 0x0c // R: causes of an interrupt, always 0
	regD            = 0x0d // R: bit 7 VRT
	regBaseLow      = 0x15 // RW: conventional memory in KiB, low byte
	regBaseHigh     = 0x16 // RW: and its high byte
	regExtLow       = 0x17 // RW: memory above 1 MiB in KiB, at most 65,535, low byte
	regExtHigh      = 0x18 // RW: and its high byte
	regExtFoundLow  = 0x30 // RW: the same as found by the power-on test, low byte
	regExtFoundHigh = 0x31 // RW: and its high byte
	regCentury      = 0x32 // RW: century; a FADT can say so (ACPI 6.5 §5.2.9, CENTURY)

	numRegs = 0x80
)

// aReset is register A of a clock that runs: 32.768 kHz divider, square wave of
// 1024 Hz. aUIP is never set: time changes between two reads, not during one.
const (
	aReset = 0x26
	aUIP   = 1 << 7
)

// Bits of register B. Those that enable interrupts are kept without effect.
const (
	b24h    = 1 << 1 // hours 0 to 23; else 1 to 12 with bit 7 for PM
	bBinary = 1 << 2 // registers are binary; else BCD
	bSet    = 1 << 7 // the time stands still while the guest sets it
)

// hoursPM is bit 7 of the hours with 12 of them to half a day.
const hoursPM = 1 << 7

// dValid is VRT, valid RAM and time: the battery is good.
const dValid = 1 << 7

// baseKiB is the conventional memory of every PC.
const baseKiB = 640
