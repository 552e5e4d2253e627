// Package i8042 is as much of a PC's keyboard controller (Intel 8042) as
// resets the machine: kernels that find no better way write 0xfe to port 0x64.
// There is no keyboard and no mouse, and a driver that looks for the controller
// is told so as fast as it can be. ACPI says that there is none (ACPI 6.5
// §5.2.9.3, flag 8042).
//
// A hostile guest can only reset itself: the device has no state.
package i8042

// A Controller is the keyboard controller. Its methods may be called from any
// goroutine.
type Controller struct {
	reset func()
}

// New returns a controller that calls reset, on the vCPU's thread and with no
// lock held, for each reset command.
func New(reset func()) *Controller { return &Controller{reset: reset} }

// Name implements devices.Device.
func (c *Controller) Name() string { return "i8042" }

// ReadIO implements devices.Device. The data register reads as 0, what is not
// a register as all ones.
func (c *Controller) ReadIO(off uint64, p []byte) {
	for i := range p {
		switch off + uint64(i) {
		case regData:
			p[i] = 0
		case regStatus:
			p[i] = statusAbsent
		default:
			p[i] = 0xff
		}
	}
}

// WriteIO implements devices.Device.
func (c *Controller) WriteIO(off uint64, p []byte) {
	for i, v := range p {
		if off+uint64(i) == regCommand && v == commandReset {
			c.reset()
		}
	}
}
