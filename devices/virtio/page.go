package virtio

import "microvm/kvm/guestmem"

// PageSize is the size in bytes of the memory that a driver reads a device's
// registers from ([Options.Page]): the least that a memory slot can have.
const PageSize = guestmem.PageSize

// Shows reports whether dev can be behind a page of memory that the driver reads its
// registers from. It cannot if it changes its configuration space of its own accord.
// Nobody sees then when the driver reads the interrupt status, and acknowledgements
// come late: one that is of a change of the configuration might take away that there
// was another since.
func Shows(dev Device) bool {
	_, changes := dev.(ConfigChanger)
	return !changes
}

// shown are the registers that can be read.
var shown = []uint64{
	regMagicValue, regVersion, regDeviceID, regVendorID, regDeviceFeatures, regQueueNumMax, regQueueReady,
	regStatus, regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh, regConfigGeneration,
}

// show brings the page up to date, if there is one, after a change: by the driver's
// write, whose exit lasts until then, or by the device's breakdown. mu is held.
//
// The interrupt status is the one register that changes otherwise: see showUsed.
func (m *MMIO) show() {
	if m.Page == nil {
		return
	}
	for _, reg := range shown {
		le.PutUint32(m.Page[reg:], m.read(reg))
	}
	m.showStatus()
	m.readConfig(0, m.Page[regConfig:Size])
}

// showStatus brings the interrupt status in the page up to date.
func (c *control) showStatus() {
	c.statusMu.Lock()
	defer c.statusMu.Unlock()
	le.PutUint32(c.Page[regInterruptStatus:], c.interruptStatus())
}

// showUsed shows the first used buffers of a session. That reason then stays until the
// reset: who acknowledges it late must not take it away from buffers used since. A
// driver looks for them and may find none, as after any interrupt.
func (c *control) showUsed() {
	if c.lasting.Load()&interruptUsedBuffer == 0 {
		c.lasting.Or(interruptUsedBuffer)
		c.showStatus()
	}
}
