package virtio

// Registers of the MMIO transport (virtio-v1.2 §4.2.2), little-endian, 32 bits
// each: offset, access, meaning.
const (
	regMagicValue        = 0x000 // R: magicValue
	regVersion           = 0x004 // R: version
	regDeviceID          = 0x008 // R: the device's type
	regVendorID          = 0x00c // R: vendorID
	regDeviceFeatures    = 0x010 // R: 32 of the offered feature bits
	regDeviceFeaturesSel = 0x014 // W: which 32
	regDriverFeatures    = 0x020 // W: 32 of the accepted feature bits
	regDriverFeaturesSel = 0x024 // W: which 32
	regQueueSel          = 0x030 // W: the queue that the next six are of
	regQueueNumMax       = 0x034 // R: its largest size, 0 if there is none
	regQueueNum          = 0x038 // W: its size
	regQueueReady        = 0x044 // RW: 1 if the device may use it
	regQueueDescLow      = 0x080 // W: address of its descriptor table
	regQueueDescHigh     = 0x084
	regQueueDriverLow    = 0x090 // W: address of its driver area, the available ring
	regQueueDriverHigh   = 0x094
	regQueueDeviceLow    = 0x0a0 // W: address of its device area, the used ring
	regQueueDeviceHigh   = 0x0a4
	regQueueNotify       = 0x050 // W: the number of a queue that has chains
	regInterruptStatus   = 0x060 // R: why the device interrupts
	regInterruptACK      = 0x064 // W: which reasons are dealt with
	regStatus            = 0x070 // RW: the device status, 0 to reset
	regSHMLenLow         = 0x0b0 // R: length of the selected shared memory region
	regSHMLenHigh        = 0x0b4
	regSHMBaseLow        = 0x0b8
	regSHMBaseHigh       = 0x0bc
	regConfigGeneration  = 0x0fc // R: changes when the configuration space does
	regConfig            = 0x100 // RW: the configuration space, from here on
)

// Size is the size in bytes of a device's register block.
const Size = 0x200

// RegQueueNotify is where a driver notifies the device, for an ioeventfd: a
// write of 4 bytes, the queue's number.
const (
	RegQueueNotify     = regQueueNotify
	RegQueueNotifySize = 4
)

// RegInterruptACK is where a driver acknowledges an interrupt: a write of 4 bytes
// that may be delivered late, as long as it is before the next access to the
// device.
const (
	RegInterruptACK     = regInterruptACK
	RegInterruptACKSize = 4
)

// HID is the hardware ID by which ACPI describes a block of these registers;
// Linux's virtio_mmio driver knows it.
const HID = "LNRO0005"

const (
	magicValue = 0x74726976 // "virt"
	version    = 2          // not legacy
	// vendorID is free to choose for a device that has no PCI vendor; the
	// letters of this monitor's name.
	vendorID = 'v' | 'm'<<8 | 'm'<<16
	// noSHM is the length of a shared memory region that does not exist
	// (virtio-v1.2 §4.2.2 SHMLenLow).
	noSHM = 0xffffffff
)

// Bits of the interrupt status (virtio-v1.2 §4.2.2 InterruptStatus).
const (
	interruptUsedBuffer = 1 << 0 // a queue has used buffers
	interruptConfig     = 1 << 1 // the configuration space or the status changed
)
