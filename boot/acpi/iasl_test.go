package acpi_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"microvm/boot/acpi"
)

// A missing says that a test was skipped for want of a facility of the host.
type missing struct{ facility, why string }

func (m missing) String() string {
	return fmt.Sprintf("SKIPPED: %s is missing: %s", m.facility, m.why)
}

// skip skips t, or fails it if MICROVM_NOSKIP is 1.
func skip(t *testing.T, m missing) {
	t.Helper()
	if os.Getenv("MICROVM_NOSKIP") == "1" {
		t.Fatal(m)
	}
	t.Skip(m)
}

// iasl runs ACPICA's compiler in dir and returns what it says.
func iasl(t *testing.T, dir string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath("iasl")
	if err != nil {
		skip(t, missing{"iasl", "install Debian's acpica-tools"})
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("iasl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// files are the tables of m but for the RSDP, each as a file SIGNATURE.dat of a
// new directory.
func files(t *testing.T, m acpi.Machine) (dir string, tables map[string][]byte) {
	t.Helper()
	tables, err := walk(build(t, m), testAt)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	delete(tables, "RSD PTR ")
	for sig, table := range tables {
		if err := os.WriteFile(filepath.Join(dir, sig+".dat"), table, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir, tables
}

// complaint matches what iasl says when it finds something wrong with a table.
var complaint = regexp.MustCompile(`(?i)warning|error|invalid|incorrect|unknown|\*\*\*|could not`)

// TestIaslDecompiles holds that ACPICA reads every table without a complaint.
// The RSDP is no table to it: without the common header, iasl refuses it.
func TestIaslDecompiles(t *testing.T) {
	many := testMachine()
	many.CPUs = 300
	for name, m := range map[string]acpi.Machine{"2 CPUs": testMachine(), "300 CPUs": many} {
		t.Run(name, func(t *testing.T) {
			dir, tables := files(t, m)
			for sig := range tables {
				out := iasl(t, dir, "-d", sig+".dat")
				dsl, err := os.ReadFile(filepath.Join(dir, sig+".dsl"))
				if err != nil {
					t.Fatalf("%q: %v\n%s", sig, err, out)
				}
				for _, text := range []string{out, string(dsl)} {
					if c := complaint.FindString(strings.ReplaceAll(text, "Error Correction", "")); c != "" {
						t.Errorf("%q: iasl says %q:\n%s", sig, c, text)
					}
				}
			}
		})
	}
}

// readings are lines of ACPICA's reading of a table.
var readings = map[string][]string{
	"XSDT": {`Revision : 01`, `Oem ID : "MICROV"`, `ACPI Table Address 0 : 00000000000E0070`, `ACPI Table Address 1 : 00000000000E0190`},
	"FACP": {
		`Revision : 06`, `Oem Table ID : "MICROVM "`, `Legacy Devices Supported (V2) : 0`, `8042 Present on ports 60/64 (V2) : 0`,
		`VGA Not Present (V4) : 1`, `MSI Not Supported (V4) : 0`, `PCIe ASPM Not Supported (V4) : 0`, `CMOS RTC Not Present (V5) : 1`,
		`WBINVD instruction is operational (V1) : 1`, `Control Method Power Button (V1) : 1`, `Control Method Sleep Button (V1) : 1`,
		`Reset Register Supported (V2) : 1`, `Hardware Reduced (V5) : 1`, `Value to cause reset : 01`, `FADT Minor Revision : 05`,
		`Address : 0000000000000600`, `Address : 0000000000000601`, `Address : 0000000000000602`,
	},
	"APIC": {
		`Local Apic Address : FEE00000`, `PC-AT Compatibility : 0`, `Subtable Type : 00 [Processor Local APIC]`, `Local Apic ID : 01`,
		`Processor Enabled : 1`, `Subtable Type : 01 [I/O APIC]`, `Address : FEC00000`, `Subtable Type : 04 [Local APIC NMI]`, `Interrupt Input LINT : 01`,
	},
	"DSDT": {
		`Name (_S5, Package (0x02) // _S5_: S5 System State`, `Name (_HID, EisaId ("PNP0501")`, `Name (_HID, "LNRO0005")`,
		`Memory32Fixed (ReadWrite,`, `Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive, ,, )`,
		`Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, ,, )`,
	},
}

// TestIaslReading holds ACPICA's reading of the fields against readings.
func TestIaslReading(t *testing.T) {
	dir, _ := files(t, testMachine())
	spaces := regexp.MustCompile(`[ \t]+`)
	for sig, lines := range readings {
		iasl(t, dir, "-d", sig+".dat")
		dsl, err := os.ReadFile(filepath.Join(dir, sig+".dsl"))
		if err != nil {
			t.Fatal(err)
		}
		text := spaces.ReplaceAllString(string(dsl), " ")
		for _, line := range lines {
			if !strings.Contains(text, line) {
				t.Errorf("%q: no line with %q in\n%s", sig, line, dsl)
			}
		}
	}
}

// TestIaslRecompiles compiles the decompiled DSDT again: ACPICA's compiler
// knows many rules of the namespace, and finds fault with none. What it makes
// is byte for byte what we made, but for the header's fields that name the
// compiler.
func TestIaslRecompiles(t *testing.T) {
	m := testMachine()
	dir, tables := files(t, m)
	iasl(t, dir, "-d", "DSDT.dat")
	out := iasl(t, dir, "-p", "again", "DSDT.dsl")
	if !strings.Contains(out, "0 Errors, 0 Warnings, 0 Remarks") {
		t.Errorf("iasl says:\n%s", out)
	}
	again, err := os.ReadFile(filepath.Join(dir, "again.aml"))
	if err != nil {
		t.Fatal(err)
	}
	if ours := tables["DSDT"]; !bytes.Equal(ours[36:], again[36:]) || ours[8] != again[8] {
		t.Errorf("DSDT is\n% x; iasl makes of it\n% x", ours, again)
	}
}
