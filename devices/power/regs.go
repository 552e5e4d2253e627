package power

// The registers, each 8 bits, by offset.
const (
	RegSleepControl = 0 // RW: sleep control register (ACPI 6.5 §4.8.3.7)
	RegSleepStatus  = 1 // RW: sleep status register (ACPI 6.5 §4.8.3.7)
	RegReset        = 2 // W: reset register (ACPI 6.5 §4.8.3.6)
	Size            = 4 // I/O ports; the last is not used
)

// Fields of the sleep control register (ACPI 6.5 §4.8.3.7).
const (
	SleepEnable    = 1 << 5 // SLP_EN: enter the sleeping state in SLP_TYP; reads as 0
	SleepTypeShift = 2      // SLP_TYP, bits 4-2: which sleeping state
	SleepTypeMask  = 7      // SLP_TYP, after the shift
)

// SleepTypeS5 is the SLP_TYP that powers off, the value of \_S5 in the DSDT. It
// is no other state's: the machine does not sleep.
const SleepTypeS5 = 5

// ResetValue resets the machine when written to RegReset (FADT RESET_VALUE).
const ResetValue = 1
