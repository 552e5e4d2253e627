package main

import (
	"slices"
	"strings"
	"testing"
)

func TestAfterDashes(t *testing.T) {
	for _, tt := range []struct {
		line  string
		want  []string
		found bool
	}{
		{"", nil, false},
		{"console=ttyS0 quiet\n", nil, false},
		{"console=ttyS0 -- ls -l\n", []string{"ls", "-l"}, true},
		{"quiet --\n", nil, true},
		{"quiet -- echo -- a", []string{"echo", "--", "a"}, true},
		{`-- sh -c "echo a  b; exit 3"`, []string{"sh", "-c", "echo a  b; exit 3"}, true},
		{`-- name="two words" x`, []string{"name=two words", "x"}, true},
		{`-- in"side quotes"`, []string{`in"side quotes"`}, true},
		{`-- "open end`, []string{"open end"}, true},
		{`--x -y`, nil, false},
		{`a="b -- c" d`, nil, false},
		{"\t --\t\tls \n", []string{"ls"}, true},
		{`-- ""`, []string{""}, true},
		{`-- =x ="y z"`, []string{"=x", `="y z"`}, true},
	} {
		got, found := afterDashes(tt.line)
		if found != tt.found || !slices.Equal(got, tt.want) {
			t.Errorf("afterDashes(%q) = %q, %v, want %q, %v", tt.line, got, found, tt.want, tt.found)
		}
	}
}

// FuzzKernelWords holds that every byte outside quotes and blanks is in some
// word: nothing of a command line is lost, whatever it is.
func FuzzKernelWords(f *testing.F) {
	f.Add(`console=ttyS0 -- sh -c "echo a b"`)
	f.Add("a=\"b\n c\" \"")
	f.Fuzz(func(t *testing.T, line string) {
		var words strings.Builder
		for word := range kernelWords(line) {
			words.WriteString(word)
		}
		// By bytes: words may cut a rune in two.
		drop := func(c byte) bool { return c == '"' || strings.IndexByte(blanks, c) >= 0 }
		got := slices.DeleteFunc([]byte(words.String()), drop)
		want := slices.DeleteFunc([]byte(line), drop)
		if !slices.Equal(got, want) {
			t.Errorf("words of %q have %q, want %q", line, got, want)
		}
	})
}
