package virtio

import (
	"fmt"

	"microvm/kvm/guestmem"
)

// PageSize is the size in bytes of a [Page]: the least that a memory slot can have.
const PageSize = guestmem.PageSize

// A Page is memory from which the driver can read a device's registers without an
// exit.
//
// It is in the registers' place while there is no news of the configuration. While
// there is, from before the interrupt until the driver has acknowledged it, reads are
// exits ([MMIO.ReadIO]): only so can be known which changes the driver has read of, and
// that one which comes between a read and its acknowledgement is another.
type Page struct {
	Memory []byte // PageSize bytes
	// Map puts the page in the place of the registers in the guest's memory,
	// read-only, or takes it away again. Its error ends the machine.
	Map func(bool) error
}

// ShowPage has the driver read the page, if there is one, from now on and whenever it
// can.
func (m *MMIO) ShowPage() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.pageMu.Lock()
	m.showsPage = true
	m.pageMu.Unlock()
	m.show()
}

// shown are the registers that can be read, but for the interrupt status.
var shown = []uint64{
	regMagicValue, regVersion, regDeviceID, regVendorID, regDeviceFeatures, regQueueNumMax, regQueueReady,
	regStatus, regSHMLenLow, regSHMLenHigh, regSHMBaseLow, regSHMBaseHigh, regConfigGeneration,
}

// show brings the page up to date, if there is one, after a write by the driver,
// whose exit lasts until then, and puts it in its place if it may be there. mu is held.
func (m *MMIO) show() {
	if m.Page == nil {
		return
	}
	m.refreshConfig() // a page with another configuration is out of the way
	for _, reg := range shown {
		le.PutUint32(m.Page.Memory[reg:], m.read(reg))
	}
	copy(m.Page.Memory[regConfig:Size], m.config)
	m.showStatus()
	m.placePage()
}

// showStatus brings the interrupt status in the page up to date, if there is one.
func (c *control) showStatus() {
	if c.Page == nil {
		return
	}
	c.pageMu.Lock()
	defer c.pageMu.Unlock()
	le.PutUint32(c.Page.Memory[regInterruptStatus:], c.lasting.Load())
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

// placePage puts the page in its place, unless there is news of the configuration.
func (c *control) placePage() {
	c.pageMu.Lock()
	defer c.pageMu.Unlock()
	if c.showsPage && !c.pageMapped && (c.fresh.Load()|c.read.Load())&interruptConfig == 0 {
		c.mapPage(true)
	}
}

// hidePage takes the page away, if there is one in its place.
func (c *control) hidePage() {
	c.pageMu.Lock()
	defer c.pageMu.Unlock()
	if c.pageMapped {
		c.mapPage(false)
	}
}

// mapPage puts the page in its place or takes it away. pageMu is held.
func (c *control) mapPage(mapped bool) {
	c.pageMapped = mapped
	if err := c.Page.Map(mapped); err != nil {
		c.Fail(fmt.Errorf("%s: page of registers: %w", c.Name, err))
	}
}
