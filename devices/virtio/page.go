package virtio

import (
	"bytes"

	"microvm/kvm/guestmem"
)

// PageSize is the size in bytes of the memory that a driver reads a device's
// registers from ([Options.Page]): the least that a memory slot can have.
const PageSize = guestmem.PageSize

// shown are the registers that can be read, but for ConfigGeneration.
var shown = []uint64{
	regMagicValue, regVersion, regDeviceID, regVendorID, regDeviceFeatures, regQueueNumMax, regQueueReady,
	regInterruptStatus, regStatus, regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh,
}

// show brings the page up to date, if there is one, after a change: by the driver's
// write, whose exit lasts until then, or by the device. mu is held.
func (m *MMIO) show() {
	if m.Page == nil {
		return
	}
	for _, reg := range shown {
		le.PutUint32(m.Page[reg:], m.read(reg))
	}
	m.refreshConfig()
	if config := m.Page[regConfig:][:len(m.config)]; !bytes.Equal(config, m.config) {
		// A driver that reads several fields reads the generation before and
		// after: it sees at least one of its changes, whenever it comes.
		m.generation++
		m.showGeneration()
		copy(config, m.config)
		m.generation++
	}
	m.showGeneration()
}

func (m *MMIO) showGeneration() { le.PutUint32(m.Page[regConfigGeneration:], m.generation) }

// shownStatus is the interrupt status with a page, where nobody sees when the driver
// reads it. While the device runs it has the reason that there are used buffers, so
// that a device that pushes some has nothing to write. A driver looks for them
// and may find none, as after any interrupt. That the configuration has changed it has
// until each time that this was raised is acknowledged, so that an acknowledgement
// that comes late is not of a change after it. If the driver sees two of them at
// once, the reason is there at the next interrupt again. mu is held.
func (c *control) shownStatus() uint32 {
	status := c.lasting.Load()
	if c.changes > 0 {
		status |= interruptConfig
	}
	return status
}

// acknowledgeShown is the driver's word that it has dealt with reasons. mu is held.
func (c *control) acknowledgeShown(reasons uint32) {
	if reasons&interruptConfig != 0 && c.changes > 0 {
		c.changes--
	}
}

// raiseShown tells the driver that the configuration has changed. mu is held.
func (c *control) raiseShown() {
	c.changes++
	c.show() // before the edge
	c.interruptDriver()
}
