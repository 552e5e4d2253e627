package virtio

import "microvm/kvm/guestmem"

// PageSize is the size in bytes of the memory that a driver reads a device's
// registers from ([Options.Page]): the least that a memory slot can have.
const PageSize = guestmem.PageSize

// Shows reports whether dev can be behind a page of memory that the driver reads its
// registers from. It cannot if it changes its configuration space of its own accord:
// it says so under its own locks, when nobody can bring the page up to date.
func Shows(dev Device) bool {
	_, changes := dev.(ConfigChanger)
	return !changes
}

// shown are the registers that can be read.
var shown = []uint64{
	regMagicValue, regVersion, regDeviceID, regVendorID, regDeviceFeatures, regQueueNumMax, regQueueReady,
	regInterruptStatus, regStatus, regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh, regConfigGeneration,
}

// show brings the page up to date, if there is one, after a change: by the driver's
// write, whose exit lasts until then, or by the device's breakdown. mu is held.
//
// The interrupt status is the one register that changes otherwise. While the device
// runs it always has the reason that there are used buffers, so that a device that
// pushes some has nothing to write here. A driver looks for them and may find none,
// as after any interrupt.
func (m *MMIO) show() {
	if m.Page == nil {
		return
	}
	for _, reg := range shown {
		le.PutUint32(m.Page[reg:], m.read(reg))
	}
	m.readConfig(0, m.Page[regConfig:Size])
}
