package size

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want uint64
	}{
		{"0", 0},
		{"4096", 4096},
		{"16b", 16},
		{"4k", 4 << 10},
		{"512M", 512 << 20},
		{"512m", 512 << 20},
		{"512MiB", 512 << 20},
		{"512 MiB", 512 << 20},
		{" 4G ", 4 << 30},
		{"4Gi", 4 << 30},
		{"1T", 1 << 40},
		{"18446744073709551615", 1<<64 - 1},
		{"0000512M", 512 << 20},
	} {
		got, err := Parse(tt.in)
		if err != nil || got != tt.want {
			t.Errorf("Parse(%q) = %d, %v; want %d", tt.in, got, err, tt.want)
		}
	}
}

func TestParseErrors(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "empty"},
		{"abc", "not a size"},
		{"M", "not a size"},
		{"-1", "cannot be negative"},
		{"-512M", "cannot be negative"},
		{"+5", "not a size"},
		{"1e9", "whole number"},
		{"1.5G", "1536M for 1.5G"},
		{"512MB", "write 512MiB"},
		{"512gb", "write 512GiB"},
		{"512X", `unknown unit "X"`},
		{"512M512", `unknown unit "M512"`},
		{"0x100", `unknown unit "x100"`},
		{"99999999999999999999", "larger than any"},
		{"99999999999T", "larger than any"},
		{"NaN", "not a size"},
	} {
		n, err := Parse(tt.in)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("Parse(%q) = %d, %v; want an error with %q", tt.in, n, err, tt.want)
		}
	}
}

func TestFormat(t *testing.T) {
	for _, n := range []uint64{0, 1, 1023, 1024, 1536 << 10, 512 << 20, 3 << 30, 1<<40 + 1, 1 << 63} {
		if got, err := Parse(Format(n)); err != nil || got != n {
			t.Errorf("Parse(Format(%d)) = %d, %v", n, got, err)
		}
	}
	if got := Format(512 << 20); got != "512M" {
		t.Errorf("Format(512 MiB) = %q, want 512M", got)
	}
}

func TestHuman(t *testing.T) {
	for n, want := range map[uint64]string{
		0: "0 bytes", 999: "999 bytes", 1000: "1.0 KiB", 9 << 10: "9.0 KiB",
		512 << 20: "512 MiB", 1 << 30: "1.0 GiB", 1 << 62: "4194304 TiB",
	} {
		if got := Human(n); got != want {
			t.Errorf("Human(%d) = %q, want %q", n, got, want)
		}
	}
}
