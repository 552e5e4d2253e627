package acpi

import (
	"fmt"

	"microvm/kvm/guestmem"
)

// tableAlign is the alignment of every table, in bytes. The RSDP must have it
// to be found (ACPI 6.5 §5.2.5.1); the others have it so that a dump is easy to
// read.
const tableAlign = 16

// Build returns the tables of m as bytes to be put at address at, with at most
// room bytes of them, and the address of the RSDP, which is at. The same
// machine gives the same bytes.
//
// The error names everything that m asks for and tables cannot say, or how
// much room they would need. at must be a multiple of 16.
func Build(m Machine, at guestmem.Addr, room uint64) (tables []byte, root guestmem.Addr, err error) {
	if at%tableAlign != 0 {
		return nil, 0, fmt.Errorf("acpi: tables at %v; want a multiple of %d", at, tableAlign)
	}
	if _, ok := at.Add(room); !ok {
		return nil, 0, fmt.Errorf("acpi: %d bytes for tables at %v pass the end of the address space", room, at)
	}
	if err := m.check(); err != nil {
		return nil, 0, err
	}
	tables = lay(&m, at)
	if n := uint64(len(tables)); n > min(room, maxPkgLength) {
		return nil, 0, fmt.Errorf("acpi: the tables need %d bytes; there are %d at %v", n, min(room, maxPkgLength), at)
	}
	return tables, at, nil
}

// lay puts the tables one after the other. Those that point at others come
// first, so their sizes, which are fixed, give the addresses they point at.
func lay(m *Machine, at guestmem.Addr) []byte {
	xsdtAt := align(rsdpSize)
	fadtAt := xsdtAt + align(xsdtSize(2))
	madtAt := fadtAt + align(fadtSize)
	madt := madt(m)
	dsdtAt := madtAt + align(len(madt))
	address := func(off int) guestmem.Addr { return at + guestmem.Addr(off) }

	b := place(nil, 0, rsdp(address(xsdtAt)))
	b = place(b, xsdtAt, xsdt(address(fadtAt), address(madtAt)))
	b = place(b, fadtAt, fadt(m, address(dsdtAt)))
	b = place(b, madtAt, madt)
	return place(b, dsdtAt, dsdt(m))
}

// place appends table to b at offset off, with zeros before it.
func place(b []byte, off int, table []byte) []byte {
	return append(append(b, make([]byte, off-len(b))...), table...)
}

// align rounds n up to the next multiple of tableAlign.
func align(n int) int { return (n + tableAlign - 1) &^ (tableAlign - 1) }
