package acpi

// The Multiple APIC Description Table (ACPI 6.5 §5.2.12): after the header the
// 32-bit address of the local APICs, 32 bits of flags, and then structures
// that each begin with type and length, a byte each.
const (
	madtRevision = 6
	madtFlags    = 0 // PCAT_COMPAT clear: no 8259s; see the package's doc

	typeLocalAPIC    = 0    // §5.2.12.2, 8 bytes
	typeIOAPIC       = 1    // §5.2.12.3, 12 bytes
	typeLocalAPICNMI = 4    // §5.2.12.7, 6 bytes
	typeLocalX2APIC  = 9    // §5.2.12.12, 16 bytes
	typeLocalX2NMI   = 0x0a // §5.2.12.13, 12 bytes
	processorEnabled = 1    // Local APIC Flags bit 0: the processor is there and can be used
	allProcessors    = 0xff // ACPI Processor UID of an NMI structure
	allX2Processors  = 0xffffffff
	nmiPin           = 1 // LINT1, as on a PC (MultiProcessor Specification 1.4 §5.1)
	nmiConforms      = 0 // MPS INTI flags: polarity and trigger mode as the bus has them
	ioapicID         = 0 // what KVM's I/O APIC has in its ID register, so that Linux leaves it
	ioapicPins       = 24
	firstX2APIC      = 255 // the lowest APIC ID that takes an x2APIC structure: 255 is "all" in a byte
)

// madt returns the MADT of m: a structure for each processor in order of its
// APIC ID, as §5.2.12.1 wants, then the I/O APIC and the processors' NMI pins.
func madt(m *Machine) []byte {
	t := newTable("APIC", madtRevision)
	t = le.AppendUint32(t, uint32(m.LocalAPIC))
	t = le.AppendUint32(t, madtFlags)
	for id := range min(m.CPUs, firstX2APIC) {
		t = append(t, typeLocalAPIC, 8, uint8(id), uint8(id)) // UID, APIC ID
		t = le.AppendUint32(t, processorEnabled)
	}
	for id := firstX2APIC; id < m.CPUs; id++ {
		t = append(t, typeLocalX2APIC, 16, 0, 0)
		t = le.AppendUint32(t, uint32(id)) // APIC ID
		t = le.AppendUint32(t, processorEnabled)
		t = le.AppendUint32(t, uint32(id)) // UID
	}
	t = append(t, typeIOAPIC, 12, ioapicID, 0)
	t = le.AppendUint32(t, uint32(m.IOAPIC))
	t = le.AppendUint32(t, 0) // GSI of its first pin
	t = append(t, typeLocalAPICNMI, 6, allProcessors, nmiConforms, 0, nmiPin)
	if m.CPUs > firstX2APIC {
		t = append(t, typeLocalX2NMI, 12, nmiConforms, 0)
		t = le.AppendUint32(t, allX2Processors)
		t = append(t, nmiPin, 0, 0, 0)
	}
	return seal(t)
}
