package acpi

import "microvm/kvm/guestmem"

// MaxCPUs is the largest number of processors that tables are built for. It is
// KVM's own limit on x86 (KVM_MAX_VCPUS in asm/kvm_host.h, up to 4096), and
// their entries take 64 KiB of the 128 KiB in which a PC's tables lie.
const MaxCPUs = 4096

// A Machine is what the tables say of a machine.
type Machine struct {
	CPUs      int           // 1 to MaxCPUs; their local APIC IDs and ACPI UIDs are 0 … CPUs-1
	LocalAPIC guestmem.Addr // the local APICs' register page, below 4 GiB
	IOAPIC    guestmem.Addr // the I/O APIC's register page, below 4 GiB; its 24 pins are GSI 0 to 23
	Power     Power
	I8042     bool // a keyboard controller that answers; if not, Linux does not look for one
	CMOS      bool // a CMOS clock that answers; if not, Linux does not read one
	Devices   []Device
}

// Power is where a hardware-reduced machine is turned off and reset (ACPI 6.5
// §4.8.3.6, §4.8.3.7): three registers of 8 bits in I/O space.
type Power struct {
	SleepControl uint16 // port of SLEEP_CONTROL_REG, not 0
	SleepStatus  uint16 // port of SLEEP_STATUS_REG, not 0
	SleepTypeS5  uint8  // SLP_TYP that turns the power off, 0 to 7: element 0 of \_S5
	Reset        uint16 // port of RESET_REG, not 0
	ResetValue   uint8  // RESET_VALUE, which resets the machine when written there
}

// A Device is a device object under \_SB, which an operating system finds
// nowhere else.
type Device struct {
	Name      string     // NameSeg: four of A-Z, 0-9 and _, the first no digit (ACPI 6.5 §20.2.2)
	HID       string     // hardware ID, such as "PNP0501" or "LNRO0005" (ACPI 6.5 §6.1.5)
	CID       []string   // compatible IDs, of the same forms, best first (ACPI 6.5 §6.1.2)
	UID       uint32     // tells devices of one HID apart (ACPI 6.5 §6.1.12)
	Resources []Resource // what _CRS lists, in this order; none, no _CRS
	Objects   []Object   // more named objects, such as _STA or _DSD
}

// A Resource is an entry of a device's current resource settings: [IOPorts],
// [IRQ] or [Memory].
type Resource interface {
	check() error
	descriptor() []byte
}

// IOPorts are Len I/O ports, 1 to 255, from Base on.
type IOPorts struct {
	Base uint16
	Len  uint8
}

// An IRQ is an input of the I/O APIC. The zero modes are those of an ISA
// interrupt: edge-triggered, active high, not shared.
type IRQ struct {
	GSI       uint32 // global system interrupt (ACPI 6.5 §5.2.13), 0 to 23
	Level     bool   // level-triggered
	ActiveLow bool
	Shared    bool
}

// Memory is Len bytes of memory-mapped registers from Base on, all below 4 GiB.
type Memory struct {
	Base guestmem.Addr
	Len  uint32
}

// An Object is a named object of a device.
type Object struct {
	Name  string // NameSeg, as Device.Name
	Value Value
}
