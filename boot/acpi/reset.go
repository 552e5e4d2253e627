package acpi

import "microvm/kvm/guestmem"

// ResetVector is the address F000:FFF0, where a PC's BIOS begins and has 16
// bytes of room below 1 MiB.
const ResetVector guestmem.Addr = 0xffff0

// ResetCode returns real-mode instructions that write p's reset register, to
// be put in RAM at [ResetVector].
//
// Linux needs them to reboot. Where the FADT says HW_REDUCED_ACPI it expects
// EFI to reset the machine (arch/x86/kernel/reboot.c, reboot_init); without EFI
// it goes on to the next way, which is to enter the BIOS in real mode, and does
// not come to the reset register at all. What it would enter here is zeros.
//
//	ba 02 06	mov $0x602, %dx
//	b0 01		mov $1, %al
//	ee		out %al, (%dx)
//	f4		hlt
//	eb fd		jmp to the hlt: an NMI would go on after it
func ResetCode(p Power) []byte {
	return []byte{
		0xba, uint8(p.Reset), uint8(p.Reset >> 8),
		0xb0, p.ResetValue,
		0xee,
		0xf4,
		0xeb, 0xfd,
	}
}
