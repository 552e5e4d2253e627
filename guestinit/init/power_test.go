package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestCanPowerOff(t *testing.T) {
	sys := t.TempDir()
	for _, tt := range []struct {
		made string
		want bool
	}{{"", true}, {"firmware/memmap", false}, {"firmware/acpi/tables", true}} {
		if err := os.MkdirAll(filepath.Join(sys, tt.made), 0o755); err != nil {
			t.Fatal(err)
		}
		if got := canPowerOff(sys); got != tt.want {
			t.Errorf("with %q in sysfs: %t", tt.made, got)
		}
	}
}
