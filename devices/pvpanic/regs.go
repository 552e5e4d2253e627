package pvpanic

// The device is one register of 8 bits (QEMU docs/specs/pvpanic): it reads as
// the events that it takes, and a write of some of them reports them.
const Size = 1 // I/O ports

// HID is its ACPI hardware ID, by which guests find it. By convention it is at
// I/O port 0x505.
const HID = "QEMU0001"

// The events.
const (
	Panicked    Event = 1 << 0 // the guest's kernel has panicked and goes no further
	CrashLoaded Event = 1 << 1 // it has panicked, and a crash kernel in the guest takes over
)
