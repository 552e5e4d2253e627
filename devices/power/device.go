// Package power is the power switch and the reset button of hardware-reduced
// ACPI (ACPI 6.5 §4.1): the sleep control, sleep status and reset registers,
// which the FADT points to.
//
// A hostile guest can power itself off and reset itself, and nothing else. It
// may do so from several vCPUs at once, so the callbacks are called as often as
// the guest asks.
package power

// A Device is the three registers. Its methods may be called from any
// goroutine.
type Device struct {
	powerOff, reset func()
}

// New returns a device that calls powerOff when the guest enters S5, and reset
// when it writes the reset register: on the vCPU's thread, with no lock held.
// After either the guest should not run on.
func New(powerOff, reset func()) *Device {
	return &Device{powerOff: powerOff, reset: reset}
}

// Name implements devices.Device.
func (d *Device) Name() string { return "power" }

// ReadIO implements devices.Device. Sleep control reads as 0, as its only field
// of consequence does, and so does sleep status: WAK_STS (bit 7) would say that
// the machine has slept.
func (d *Device) ReadIO(_ uint64, p []byte) { clear(p) }

// WriteIO implements devices.Device. A sleeping state other than S5 is ignored,
// and so is clearing WAK_STS, which Linux does before it enters S5.
func (d *Device) WriteIO(off uint64, p []byte) {
	for i, v := range p {
		switch off + uint64(i) {
		case RegSleepControl:
			if v&SleepEnable != 0 && v>>SleepTypeShift&SleepTypeMask == SleepTypeS5 {
				d.powerOff()
			}
		case RegReset:
			if v == ResetValue {
				d.reset()
			}
		}
	}
}
