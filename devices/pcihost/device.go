// Package pcihost is the host bridge of a PCI bus that has nothing else on it.
//
// The machine has no PCI devices, but a PC without any PCI is strange to
// today's kernels: Linux, when it finds no way to configuration space, logs
// "PCI: Fatal: No config space access function found" as an error. It is
// content with a host bridge as device 0, which it finds at its first try.
//
// A hostile guest can choose any address. One function exists; its space is
// read-only and has a value at every offset that an address can hold.
package pcihost

import (
	"encoding/binary"
	"sync/atomic"
)

// A Bridge is the host bridge. Its methods may be called from any goroutine;
// that an address is still the one it has written when it accesses the data is
// the guest's care.
type Bridge struct {
	address atomic.Uint32
	space   [cfgSize]byte // never written after New
}

// New returns a bridge as after a reset.
func New() *Bridge {
	b := new(Bridge)
	binary.LittleEndian.PutUint16(b.space[cfgVendorID:], vendorID)
	binary.LittleEndian.PutUint16(b.space[cfgDeviceID:], deviceID)
	binary.LittleEndian.PutUint16(b.space[cfgClassCode:], classHost)
	return b
}

// Name implements devices.Device.
func (b *Bridge) Name() string { return "pcihost" }

// ReadIO implements devices.Device. What is neither the address nor a register
// of the bridge reads as all ones: no device answers.
func (b *Bridge) ReadIO(off uint64, p []byte) {
	for i := range p {
		p[i] = 0xff
	}
	address := b.address.Load()
	switch {
	case off == regAddress && len(p) == 4:
		binary.LittleEndian.PutUint32(p, address)
	case off >= regData && address&addressEnable != 0 && address&addressFunction == 0:
		copy(p, b.space[address&addressRegister+uint32(off-regData):])
	}
}

// WriteIO implements devices.Device. The bridge's registers cannot be written.
func (b *Bridge) WriteIO(off uint64, p []byte) {
	if off == regAddress && len(p) == 4 {
		b.address.Store(binary.LittleEndian.Uint32(p) & addressMask)
	}
}
