package acpi

import (
	"errors"
	"fmt"
)

// maxDepth is how deep packages may be nested: the deepest predefined objects
// (_DSD with its sub-packages, ACPI 6.5 §6.2.5) go to 4. It also stops a
// package that contains itself.
const maxDepth = 8

// maxElements is the most that a package holds: its NumElements is a byte
// (ACPI 6.5 §20.2.5.4).
const maxElements = 255

// check reports all that tables cannot say of m.
func (m *Machine) check() error {
	errs := []error{m.checkBoard()}
	names := map[string]bool{}
	ids := map[string]bool{}
	for i := range m.Devices {
		d := &m.Devices[i]
		if err := d.check(); err != nil {
			errs = append(errs, fmt.Errorf("acpi: device %d (%q): %w", i, d.Name, err))
		}
		if names[d.Name] {
			errs = append(errs, fmt.Errorf("acpi: device %d: another one is named %q", i, d.Name))
		}
		names[d.Name] = true
		id := fmt.Sprintf("%s, UID %d", d.HID, d.UID)
		if ids[id] {
			errs = append(errs, fmt.Errorf("acpi: device %d (%q): another one is %s", i, d.Name, id))
		}
		ids[id] = true
	}
	return errors.Join(errs...)
}

// checkBoard checks what is not a device.
func (m *Machine) checkBoard() error {
	var errs []error
	if m.CPUs < 1 || m.CPUs > MaxCPUs {
		errs = append(errs, fmt.Errorf("acpi: %d CPUs; want 1 to %d", m.CPUs, MaxCPUs))
	}
	if m.LocalAPIC == 0 || m.LocalAPIC >= 1<<32 {
		errs = append(errs, fmt.Errorf("acpi: local APICs at %v; want an address below 4 GiB, not 0", m.LocalAPIC))
	}
	if m.IOAPIC == 0 || m.IOAPIC >= 1<<32 {
		errs = append(errs, fmt.Errorf("acpi: I/O APIC at %v; want an address below 4 GiB, not 0", m.IOAPIC))
	}
	p := m.Power
	if p.SleepControl == 0 || p.SleepStatus == 0 || p.Reset == 0 {
		errs = append(errs, fmt.Errorf("acpi: sleep control, sleep status and reset registers at ports %#x, %#x and %#x; none may be 0",
			p.SleepControl, p.SleepStatus, p.Reset))
	}
	if p.SleepTypeS5 > 7 {
		errs = append(errs, fmt.Errorf("acpi: sleep type %d for S5; want 0 to 7", p.SleepTypeS5))
	}
	return errors.Join(errs...)
}

// check reports the first thing that is wrong with d by itself.
func (d *Device) check() error {
	if !isNameSeg(d.Name) {
		return errors.New("its name is not four of A-Z, 0-9 and _ with no digit first")
	}
	if len(d.CID) > maxElements {
		return fmt.Errorf("%d compatible IDs; want at most %d", len(d.CID), maxElements)
	}
	for _, id := range append([]string{d.HID}, d.CID...) {
		if !isHardwareID(id) {
			return fmt.Errorf(`%q is no hardware ID; one looks like "PNP0501" or "LNRO0005"`, id)
		}
	}
	for _, r := range d.Resources {
		if r == nil {
			return errors.New("a resource is nil")
		}
		if err := r.check(); err != nil {
			return err
		}
	}
	return d.checkObjects()
}

// checkObjects checks the further objects of d.
func (d *Device) checkObjects() error {
	names := map[string]bool{"_HID": true, "_CID": true, "_UID": true, "_CRS": true}
	for _, o := range d.Objects {
		switch {
		case !isNameSeg(o.Name):
			return fmt.Errorf("object %q: its name is not four of A-Z, 0-9 and _ with no digit first", o.Name)
		case names[o.Name]:
			return fmt.Errorf("object %q: the device has one of that name", o.Name)
		}
		names[o.Name] = true
		if err := checkValue(o.Value, 1); err != nil {
			return fmt.Errorf("object %q: %w", o.Name, err)
		}
	}
	return nil
}

// checkValue checks v, which is inside depth-1 packages.
func checkValue(v Value, depth int) error {
	if v == nil {
		return errors.New("a value is nil")
	}
	return v.check(depth)
}

func (v Integer) check(int) error { return nil }

func (v String) check(int) error {
	for i := range len(v) {
		if v[i] == 0 || v[i] > 127 {
			return fmt.Errorf("string %q is not all of ASCII 1 to 127", string(v))
		}
	}
	return nil
}

func (v Buffer) check(int) error {
	if len(v) == 0 {
		return errors.New("a buffer is empty")
	}
	return nil
}

func (v Package) check(depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("packages are nested more than %d deep", maxDepth)
	}
	if len(v) > maxElements {
		return fmt.Errorf("a package of %d values; want at most %d", len(v), maxElements)
	}
	for _, e := range v {
		if err := checkValue(e, depth+1); err != nil {
			return err
		}
	}
	return nil
}
