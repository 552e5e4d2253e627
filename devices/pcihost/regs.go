package pcihost

// The registers by offset from I/O port 0xcf8 (PCI 3.0 §3.2.2.3.2,
// configuration mechanism #1).
const (
	regAddress = 0 // RW, 32 bits and no others: CONFIG_ADDRESS, which register is meant
	regData    = 4 // RW, 8 to 32 bits: CONFIG_DATA, that register

	// Size is the number of I/O ports.
	Size = 8
)

// Fields of CONFIG_ADDRESS.
const (
	addressEnable   = 1 << 31                                           // else an access to CONFIG_DATA is plain I/O
	addressFunction = 0xffff << 8                                       // bits 23-8: bus, device and function
	addressRegister = 0xfc                                              // bits 7-2: register, in doublewords
	addressMask     = addressEnable | addressFunction | addressRegister // the others read as 0
)

// The bridge's configuration space (PCI 3.0 §6.1), as far as it is not 0.
const (
	cfgVendorID  = 0x00 // R, 16 bits
	cfgDeviceID  = 0x02 // R, 16 bits
	cfgClassCode = 0x0a // R, 16 bits: base class and sub-class

	cfgSize = 0x100 // bytes
)

// What it says it is: QEMU's generic host bridge (QEMU docs/specs/pci-ids),
// which needs no driver and for which systems know no quirk.
const (
	vendorID  = 0x1b36
	deviceID  = 0x0008
	classHost = 0x0600 // bridge, host (PCI Code and ID Assignment 1.11 §1.7)
)
