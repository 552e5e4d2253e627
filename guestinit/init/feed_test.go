package main

import "testing"

func TestUntilEnd(t *testing.T) {
	for _, tt := range []struct {
		name, input string
		early       int
		want        string
		end         bool
	}{
		{"no end", "ls\n", 0, "ls\n", false},
		{"end", "ls\n\x04", 0, "ls\n", true},
		{"end in the middle of a line", "exit 3\x04\x04", 0, "exit 3", true},
		{"nothing but the end", "\x04", 0, "", true},
		{"a zero is data", "a\x00b", 0, "a\x00b", false},
		{"a zero in early input is the end", "ls\n\x00", 4, "ls\n", true},
		{"a zero just after early input is data", "ls\n\x00", 3, "ls\n\x00", false},
		{"both, the zero first", "a\x00\x04", 3, "a", true},
		{"both, the zero last", "a\x04\x00", 3, "a", true},
		{"more early input than read", "ls\n", 99, "ls\n", false},
		{"empty", "", 0, "", false},
	} {
		got, end := untilEnd([]byte(tt.input), tt.early)
		if string(got) != tt.want || end != tt.end {
			t.Errorf("%s: untilEnd = %q, %v, want %q, %v", tt.name, got, end, tt.want, tt.end)
		}
	}
}
