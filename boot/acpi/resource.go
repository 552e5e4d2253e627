package acpi

import "fmt"

// Resource descriptors (ACPI 6.5 §6.4). A small one begins with a byte of which
// bits 6-3 are its type and bits 2-0 how many bytes follow; a large one with a
// byte of which bit 7 is set and bits 6-0 are its type, and 16 bits of how many
// bytes follow.
const (
	smallIO           = 0x08<<3 | 7 // §6.4.2.5
	smallEnd          = 0x0f<<3 | 1 // §6.4.2.9
	largeMemory32     = 0x80 | 0x06 // §6.4.3.4
	largeExtInterrupt = 0x80 | 0x09 // §6.4.3.6
)

// decode16 in an I/O port descriptor: the device decodes all 16 bits of the
// port's number.
const decode16 = 1 << 0

// readWrite in a memory descriptor: it can be written, not only read.
const readWrite = 1 << 0

// Flags of an extended interrupt descriptor.
const (
	interruptConsumer  = 1 << 0 // the device raises the interrupt; it does not pass on others'
	interruptEdge      = 1 << 1 // edge-triggered
	interruptActiveLow = 1 << 2
	interruptShared    = 1 << 3
)

// noChecksum in an end tag: "the resource data is treated as if the checksum
// operation succeeded" (§6.4.2.9).
const noChecksum = 0

// template is what the buffer of a _CRS holds.
func template(rs []Resource) []byte {
	var t []byte
	for _, r := range rs {
		t = append(t, r.descriptor()...)
	}
	return append(t, smallEnd, noChecksum)
}

// descriptor is the I/O port descriptor (§6.4.2.5). The ports are fixed: the
// lowest base and the highest are the same, and the alignment has no meaning.
func (r IOPorts) descriptor() []byte {
	d := []byte{smallIO, decode16}
	d = le.AppendUint16(d, r.Base)
	d = le.AppendUint16(d, r.Base)
	return append(d, 1, r.Len)
}

func (r IOPorts) check() error {
	if r.Len == 0 || int(r.Base)+int(r.Len) > 1<<16 {
		return fmt.Errorf("%d I/O ports at %#x; want 1 to 255, none above 0xffff", r.Len, r.Base)
	}
	return nil
}

// descriptor is the extended interrupt descriptor (§6.4.3.6).
func (r IRQ) descriptor() []byte {
	var flags uint8 = interruptConsumer
	if !r.Level {
		flags |= interruptEdge
	}
	if r.ActiveLow {
		flags |= interruptActiveLow
	}
	if r.Shared {
		flags |= interruptShared
	}
	return le.AppendUint32([]byte{largeExtInterrupt, 6, 0, flags, 1}, r.GSI) // one interrupt
}

func (r IRQ) check() error {
	if r.GSI >= ioapicPins {
		return fmt.Errorf("interrupt %d; the I/O APIC has 0 to %d", r.GSI, ioapicPins-1)
	}
	return nil
}

// descriptor is the 32-bit fixed memory range descriptor (§6.4.3.4).
func (r Memory) descriptor() []byte {
	d := []byte{largeMemory32, 9, 0, readWrite}
	d = le.AppendUint32(d, uint32(r.Base))
	return le.AppendUint32(d, r.Len)
}

func (r Memory) check() error {
	if end, ok := r.Base.Add(uint64(r.Len)); r.Len == 0 || !ok || end > 1<<32 {
		return fmt.Errorf("%d bytes of registers at %v; want at least 1, all below 4 GiB", r.Len, r.Base)
	}
	return nil
}
