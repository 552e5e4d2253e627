package suggest

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	names := []string{"boot", "inspect", "doctor", "cache", "version", "kernel", "kernel-entry", "cpus", "memory"}
	for word, want := range map[string]string{
		"bot":                    "boot",
		"boto":                   "boot",
		"inspct":                 "inspect",
		"docter":                 "doctor",
		"memroy":                 "memory",
		"mem":                    "memory",
		"cpu":                    "cpus",
		"kernal":                 "kernel",
		"kernelentry":            "kernel-entry",
		"frobnicate":             "",
		"":                       "",
		"x":                      "",
		strings.Repeat("a", 1e6): "",
	} {
		if got := Nearest(word, names); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"abc", "acb", 1}, {"kitten", "sitting", 3},
	} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("distance(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
