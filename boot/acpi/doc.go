// Package acpi builds the ACPI tables by which a guest learns what its machine
// is made of: how many processors, where the interrupt controllers, which
// devices at which addresses, how to turn it off. Everything is of ACPI 6.5.
//
//	RSDP ── XSDT ─┬─ FADT ── DSDT
//	              └─ MADT
//
//	RSDP  the root, which a kernel is told of or searches for
//	XSDT  addresses of the tables
//	FADT  what hardware there is not; power-off and reset registers
//	MADT  processors, I/O APIC, NMI
//	DSDT  the devices and \_S5, in AML
//
// [Build] lays them out in that order, each on a 16-byte boundary: XSDT, FADT,
// MADT, DSDT after the RSDP. Placed at 0xe0000 the RSDP is where an operating
// system searches for it (ACPI 6.5 §5.2.5.1) if nobody tells it.
//
// # Hardware-reduced
//
// The FADT sets HW_REDUCED_ACPI (ACPI 6.5 §4.1): the machine has none of
// ACPI's fixed registers, no SCI, no SMI command port, no PM timer, no FACS.
// What Linux does with that (arch/x86/kernel/acpi/boot.c,
// acpi_generic_reduced_hw_init; the same in 6.1 and 6.12, 64 and 32 bits):
//
//   - It does not touch the 8259s: no probe, no initialisation, no
//     interrupts through them. The I/O APIC is all there is.
//   - It does not set up the PIT or an HPET as its tick, nor, having no legacy
//     interrupts, test whether the timer's interrupt arrives (check_timer).
//     Its tick is the local APIC's timer from the start.
//   - It does not switch into ACPI mode, map an SCI, enable events or use a PM
//     timer as clock.
//   - Power-off writes the sleep status register and then the sleep control
//     register: two port writes, with interrupts off.
//
// What it costs:
//
//   - Reset is not by the reset register. Linux takes a hardware-reduced
//     machine for one with EFI, and without it enters the BIOS, in real mode at
//     F000:FFF0. [ResetCode] has to be there. With reboot=acpi it does write
//     the register.
//   - A kernel must learn the TSC's frequency otherwise than by the PIT, which
//     it leaves alone: from kvmclock, or on Intel from CPUID leaves 15H and
//     16H. One that can do neither has nothing to measure the APIC timer
//     against and waits for its first tick for ever. Distributions' kernels
//     have kvmclock; for one without, and with no-kvmclock, there is acpi=off,
//     with which it finds the 8259s and the PIT that KVM has, and one CPU.
//   - A kernel with no I/O APIC support has no interrupts at all. Debian's
//     have it, the i386 ones too.
//   - No fixed-feature power button: a button is a device of its own, with a
//     Generic Event Device (ACPI0013) to signal it.
//   - ISA interrupts have no implied entry in the interrupt routing. A device
//     on one is found through its _CRS, and only there. That is why it must be
//     an Extended Interrupt descriptor: the old IRQ descriptor is looked up
//     among the ISA interrupts first.
//
// A machine that is not hardware-reduced needs the opposite of all this:
// PM1 event and control blocks, a PM timer, an SCI with its override in the
// MADT, and a guest that initialises 8259s and a PIT that it then never uses.
//
// # What is left out, and why
//
//   - Interrupt source overrides: they say where an ISA interrupt is wired to
//     another pin than its own number, or with other modes. Here every GSI is
//     the pin of its number, and each device's descriptor states its modes.
//   - PCAT_COMPAT in the MADT, which would have Linux take the 8259s for
//     granted instead of ignoring them.
//   - MCFG and the PCI host bridge, which has nothing on its bus: Linux finds
//     it by configuration mechanism 1 (package devices/pcihost).
//   - "MSI not supported" and "PCIe ASPM controls" in IAPC_BOOT_ARCH: they
//     forbid what PCI devices could do. There are none, and Linux logs both.
//   - LEGACY_DEVICES in IAPC_BOOT_ARCH: it says that there are ISA devices to
//     be found by other means than ACPI. COM1 is in the DSDT.
//   - Processor objects (ACPI0007) in the DSDT. An operating system joins them
//     to the MADT's entries for idle states, frequencies and hot plug. We have
//     none of these; each object would be evaluated at every boot.
//   - The RSDT, DSDT and FACS addresses of 32 bits: the wide fields replace
//     them for every operating system since ACPI 2.0.
//
// # Trust
//
// The tables are data for a guest and made from a caller's [Machine] alone;
// nothing a guest wrote is read here. The guest may write over them once it
// runs: it harms only itself.
package acpi
