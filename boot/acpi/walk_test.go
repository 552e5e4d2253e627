package acpi_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"microvm/kvm/guestmem"
)

// The tests' own reader of the tables. It knows of the builder nothing but the
// bytes, follows the pointers as an operating system does and refuses whatever
// is not well-formed. Numbers in it are those of the specification.

var le = binary.LittleEndian

// sum is the sum of b modulo 256.
func sum(b []byte) (s uint8) {
	for _, c := range b {
		s += c
	}
	return s
}

// walk returns the tables by signature that b, lying at address at, holds;
// "RSD PTR " is one of them.
func walk(b []byte, at guestmem.Addr) (map[string][]byte, error) {
	if len(b) < 36 || string(b[:8]) != "RSD PTR " {
		return nil, errors.New("no RSDP")
	}
	root := b[:36]
	switch {
	case sum(root[:20]) != 0 || sum(root) != 0:
		return nil, errors.New("RSDP: bad checksum")
	case root[15] != 2 || le.Uint32(root[20:]) != 36:
		return nil, fmt.Errorf("RSDP: revision %d, length %d", root[15], le.Uint32(root[20:]))
	}
	tables := map[string][]byte{"RSD PTR ": root}
	xsdt, err := add(tables, b, at, le.Uint64(root[24:]), "XSDT")
	if err != nil {
		return nil, err
	}
	if len(xsdt)%8 != 36%8 {
		return nil, fmt.Errorf("XSDT of %d bytes", len(xsdt))
	}
	for e := xsdt[36:]; len(e) > 0; e = e[8:] {
		if _, err := add(tables, b, at, le.Uint64(e), ""); err != nil {
			return nil, err
		}
	}
	facp, ok := tables["FACP"]
	if !ok || len(facp) != 276 {
		return nil, fmt.Errorf("FADT of %d bytes", len(facp))
	}
	_, err = add(tables, b, at, le.Uint64(facp[140:]), "DSDT")
	return tables, err
}

// add checks the table at address a and puts it into tables.
func add(tables map[string][]byte, b []byte, at guestmem.Addr, a uint64, want string) ([]byte, error) {
	off := a - uint64(at)
	if a < uint64(at) || off > uint64(len(b)) || uint64(len(b))-off < 36 || a%16 != 0 {
		return nil, fmt.Errorf("table %q at %#x", want, a)
	}
	t := b[off:]
	n := le.Uint32(t[4:])
	if n < 36 || uint64(n) > uint64(len(t)) {
		return nil, fmt.Errorf("table %q of %d bytes", t[:4], n)
	}
	t = t[:n]
	if sum(t) != 0 {
		return nil, fmt.Errorf("table %q: bad checksum", t[:4])
	}
	sig := string(t[:4])
	if want != "" && sig != want || tables[sig] != nil {
		return nil, fmt.Errorf("table %q where %q is expected", sig, want)
	}
	tables[sig] = t
	return t, nil
}

// A record is a structure of a MADT, its type and length byte included.
type record []byte

// records returns the structures of a MADT.
func records(madt []byte) (rs []record, err error) {
	for b := madt[44:]; len(b) > 0; b = b[b[1]:] {
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return nil, fmt.Errorf("MADT: structure % x", b)
		}
		rs = append(rs, record(b[:b[1]]))
	}
	return rs, nil
}

// An aml is a reader of AML that fails at the first thing it does not
// understand. It understands names, scopes, devices and data.
type aml struct {
	b       []byte
	devices []string          // NameSegs of the devices met
	objects map[string][]byte // AML of the objects met, by path
	err     error
}

// terms reads all of a.b as a TermList.
func (a *aml) terms(scope string) {
	for len(a.b) > 0 && a.err == nil {
		switch op := a.take(1); {
		case a.err != nil:
		case op[0] == 0x08: // NameOp
			path := scope + string(a.nameString())
			value := a.b
			a.data()
			if a.objects[path] != nil {
				a.fail("%s is there twice", path)
				return
			}
			a.objects[path] = value[:len(value)-len(a.b)]
		case op[0] == 0x10: // ScopeOp
			a.inside(func(in *aml) { in.terms(string(in.nameString()) + ".") })
		case op[0] == 0x5b: // ExtOpPrefix
			if ext := a.take(1); a.err == nil && ext[0] != 0x82 { // DeviceOp
				a.fail("extended opcode %#x", ext[0])
				return
			}
			a.inside(func(in *aml) {
				seg := string(in.nameString())
				in.devices = append(in.devices, seg)
				in.terms(scope + seg + ".")
			})
		default:
			a.fail("opcode %#x", op[0])
		}
	}
}

// data reads a DataRefObject.
func (a *aml) data() {
	op := a.take(1)
	if a.err != nil {
		return
	}
	switch op[0] {
	case 0x00, 0x01: // ZeroOp, OneOp
	case 0x0a: // BytePrefix
		a.take(1)
	case 0x0b: // WordPrefix
		a.take(2)
	case 0x0c: // DWordPrefix
		a.take(4)
	case 0x0e: // QWordPrefix
		a.take(8)
	case 0x0d: // StringPrefix
		for c := a.take(1); a.err == nil && c[0] != 0; c = a.take(1) {
		}
	case 0x11: // BufferOp
		a.inside((*aml).bufferBody)
	case 0x12: // PackageOp
		a.inside(func(in *aml) {
			if n := in.take(1); in.err == nil {
				for range n[0] {
					in.data()
				}
			}
		})
	default:
		a.fail("data of opcode %#x", op[0])
	}
}

// bufferBody reads BufferSize and ByteList.
func (a *aml) bufferBody() {
	size := a.b
	a.data()
	if a.err != nil {
		return
	}
	var n uint64
	for i, c := range size[1 : len(size)-len(a.b)] {
		n |= uint64(c) << (8 * i)
	}
	if size[0] == 0x01 {
		n = 1
	}
	if n != uint64(len(a.b)) {
		a.fail("buffer size %d with %d bytes", n, len(a.b))
	}
	a.b = nil
}

// inside reads a package length and gives f what it measures, all of which f
// must read.
func (a *aml) inside(f func(*aml)) {
	whole := len(a.b)
	lead := a.take(1)
	if a.err != nil {
		return
	}
	n := int(lead[0] & 0x3f)
	if follow := int(lead[0] >> 6); follow > 0 {
		n &= 0x0f
		for i, c := range a.take(follow) {
			n |= int(c) << (4 + 8*i)
		}
	}
	n -= whole - len(a.b)
	if a.err == nil && n < 0 {
		a.fail("package length %d too small", n)
		return
	}
	in := &aml{b: a.take(n), devices: a.devices, objects: a.objects}
	if a.err != nil {
		return
	}
	f(in)
	a.devices, a.err = in.devices, in.err
	if a.err == nil && len(in.b) > 0 {
		a.fail("%d bytes left over in a package", len(in.b))
	}
}

// nameString reads a NameSeg, the only form of NameString that is expected.
func (a *aml) nameString() []byte { return a.take(4) }

// take reads n bytes.
func (a *aml) take(n int) []byte {
	if n > len(a.b) {
		a.fail("%d bytes wanted, %d there", n, len(a.b))
		return nil
	}
	b := a.b[:n]
	a.b = a.b[n:]
	return b
}

func (a *aml) fail(format string, args ...any) {
	if a.err == nil {
		a.err = fmt.Errorf("AML: "+format, args...)
	}
	a.b = nil
}

// parseDSDT reads the AML of a DSDT.
func parseDSDT(dsdt []byte) (*aml, error) {
	a := &aml{b: dsdt[36:], objects: map[string][]byte{}}
	a.terms("")
	for path, value := range a.objects {
		if strings.HasSuffix(path, "._CRS") && a.err == nil {
			a.err = checkTemplate(value)
		}
	}
	return a, a.err
}

// checkTemplate reads the resource descriptors at the end of a buffer's AML
// from their first byte to the end tag.
func checkTemplate(buffer []byte) error {
	// BufferOp, a package length, then the size as an integer.
	lead := 2 + int(buffer[1]>>6)
	switch buffer[lead] {
	case 0x0a:
		lead += 2
	case 0x0b:
		lead += 3
	case 0x0c:
		lead += 5
	default:
		return fmt.Errorf("resource template of size opcode %#x", buffer[lead])
	}
	for b := buffer[lead:]; len(b) >= 2; {
		n := 1 + int(b[0]&7)
		if b[0]&0x80 != 0 {
			if len(b) < 3 {
				break
			}
			n = 3 + int(le.Uint16(b[1:]))
		}
		if n > len(b) {
			break
		}
		if b[0] == 0x79 && n == len(b) {
			return nil
		}
		b = b[n:]
	}
	return fmt.Errorf("resource template % x does not end in an end tag", buffer)
}
