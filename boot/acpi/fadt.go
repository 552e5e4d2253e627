package acpi

import "microvm/kvm/guestmem"

// The Fixed ACPI Description Table (ACPI 6.5 §5.2.9), by offset: what is not 0
// in it.
const (
	offBootArch     = 109 // 16 bits: IAPC_BOOT_ARCH, boot… below
	offFlags        = 112 // 32 bits: Flags, flag… below
	offResetReg     = 116 // 12 bytes: RESET_REG, where to write RESET_VALUE
	offResetValue   = 128 // 8 bits: RESET_VALUE
	offMinorVersion = 131 // 8 bits: FADT minor version
	offXDSDT        = 140 // 64 bits: X_DSDT, address of the DSDT
	offSleepControl = 244 // 12 bytes: SLEEP_CONTROL_REG
	offSleepStatus  = 256 // 12 bytes: SLEEP_STATUS_REG
	offHypervisor   = 268 // 8 bytes: Hypervisor Vendor Identity
	fadtSize        = 276 // bytes

	fadtRevision      = 6 // FADT major version
	fadtMinorRevision = 5 // bits 3-0, with no errata in bits 7-4
)

// IAPC_BOOT_ARCH (ACPI 6.5 §5.2.9.3).
const (
	boot8042         = 1 << 1 // there is a keyboard controller at ports 0x60 and 0x64
	bootVGANotThere  = 1 << 2 // do not probe for VGA
	bootCMOSNotThere = 1 << 5 // do not touch a CMOS clock
)

// Flags (ACPI 6.5 §5.2.9, table 5.10).
const (
	flagWBINVD      = 1 << 0  // WBINVD works: required
	flagPowerButton = 1 << 4  // PWR_BUTTON: no fixed-feature power button
	flagSleepButton = 1 << 5  // SLP_BUTTON: no fixed-feature sleep button
	flagResetReg    = 1 << 10 // RESET_REG_SUP: RESET_REG works
	flagHWReduced   = 1 << 20 // HW_REDUCED_ACPI: no fixed ACPI hardware; see the package's doc
)

// hypervisorID names the hypervisor; operating systems only log it.
const hypervisorID = "MICROVM\x00"

// fadt returns the FADT of m, with its DSDT at the given address.
//
// Linux adds a device for each fixed button whose flag is clear, which is why
// both are set.
func fadt(m *Machine, dsdt guestmem.Addr) []byte {
	t := newTable("FACP", fadtRevision)
	t = append(t, make([]byte, fadtSize-len(t))...)
	le.PutUint16(t[offBootArch:], bootArch(m))
	le.PutUint32(t[offFlags:], flagWBINVD|flagPowerButton|flagSleepButton|flagResetReg|flagHWReduced)
	copy(t[offResetReg:], ioRegister(m.Power.Reset))
	t[offResetValue] = m.Power.ResetValue
	t[offMinorVersion] = fadtMinorRevision
	le.PutUint64(t[offXDSDT:], uint64(dsdt))
	copy(t[offSleepControl:], ioRegister(m.Power.SleepControl))
	copy(t[offSleepStatus:], ioRegister(m.Power.SleepStatus))
	copy(t[offHypervisor:], hypervisorID)
	return seal(t)
}

// bootArch says which of a PC's devices an operating system may look for.
func bootArch(m *Machine) uint16 {
	var b uint16 = bootVGANotThere
	if m.I8042 {
		b |= boot8042
	}
	if !m.CMOS {
		b |= bootCMOSNotThere
	}
	return b
}
