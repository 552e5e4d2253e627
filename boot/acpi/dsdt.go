package acpi

// dsdtRevision of 2 makes AML's integers 64 bits wide (ACPI 6.5 §5.2.11.1).
const dsdtRevision = 2

// dsdt returns the Differentiated System Description Table (ACPI 6.5
// §5.2.11.1) of m. Its terms are at the root of the namespace. Decompiled it
// reads
//
//	Name (_S5, Package (2) { 5, 0 })
//	Scope (_SB) {
//		Device (COM1) {
//			Name (_HID, EisaId ("PNP0501"))
//			Name (_UID, 0)
//			Name (_CRS, ResourceTemplate () { … })
//		}
//		…
//	}
func dsdt(m *Machine) []byte {
	t := newTable("DSDT", dsdtRevision)
	t = append(t, s5(m.Power.SleepTypeS5)...)
	if len(m.Devices) > 0 {
		var devices []byte
		for i := range m.Devices {
			devices = append(devices, device(&m.Devices[i])...)
		}
		t = append(t, scope("_SB_", devices)...)
	}
	return seal(t)
}

// s5 is the \_S5 object (ACPI 6.5 §7.4.2.6), whose being there says that the
// machine can be turned off. Element 0 is the SLP_TYP to write; element 1 is
// for a second register block, which a hardware-reduced machine does not have.
func s5(sleepType uint8) []byte {
	return name("_S5_", pkg(integer(uint64(sleepType)), integer(0)))
}

// device is the device object of d.
func device(d *Device) []byte {
	body := name("_HID", hardwareID(d.HID))
	if len(d.CID) > 0 {
		body = append(body, name("_CID", compatibleIDs(d.CID))...)
	}
	body = append(body, name("_UID", integer(uint64(d.UID)))...)
	if len(d.Resources) > 0 {
		body = append(body, name("_CRS", buffer(template(d.Resources)))...)
	}
	for _, o := range d.Objects {
		body = append(body, name(o.Name, o.Value.aml())...)
	}
	return deviceObject(d.Name, body)
}

// compatibleIDs is the value of _CID: one ID, or a package of several.
func compatibleIDs(ids []string) []byte {
	if len(ids) == 1 {
		return hardwareID(ids[0])
	}
	var elements [][]byte
	for _, id := range ids {
		elements = append(elements, hardwareID(id))
	}
	return pkg(elements...)
}

// hardwareID is the value of _HID or an element of _CID: an EISA ID is a
// number, any other a string (ACPI 6.5 §6.1.5).
func hardwareID(id string) []byte {
	if n, ok := eisaID(id); ok {
		return integer(uint64(n))
	}
	return text(id)
}
