package acpi_test

import (
	"bytes"
	"testing"

	"microvm/boot/acpi"
)

func TestResetCode(t *testing.T) {
	got := acpi.ResetCode(acpi.Power{Reset: 0x1234, ResetValue: 0x56})
	// As objdump -b binary -m i8086 -d reads it: mov $0x1234,%dx; mov $0x56,%al;
	// out %al,(%dx); hlt; jmp to the hlt.
	want := []byte{0xba, 0x34, 0x12, 0xb0, 0x56, 0xee, 0xf4, 0xeb, 0xfd}
	if !bytes.Equal(got, want) {
		t.Errorf("% x; want % x", got, want)
	}
	if end := acpi.ResetVector + 16; end != 0x100000 || len(got) > 16 {
		t.Errorf("%d bytes at %v do not fit below 1 MiB", len(got), acpi.ResetVector)
	}
}
