package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// start returns a shell that reads from the returned pipe, and its output.
func start(t *testing.T) (s *shell, stdin *os.File, input *os.File, stdout, stderr *bytes.Buffer) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	stdout, stderr = new(bytes.Buffer), new(bytes.Buffer)
	s, err = newShell(r, stdout, stderr)
	if err != nil {
		t.Fatal(err)
	}
	return s, r, w, stdout, stderr
}

func TestLines(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		stdout       string
		status       uint8
	}{
		{"empty", "", "", 0},
		{"one", "echo a\n", "a\n", 0},
		{"last line without its end", "echo a\nexit 3", "a\n", 3},
		{"status of the last command", "true\nfalse\n", "", 1},
		{"after a failure it goes on", "false\necho $?\n", "1\n", 0},
		{"nothing after exit", "echo a; exit 4; echo b\necho c\n", "a\n", 4},
		{"a command over several lines", "for i in 1 2; do\necho $i\n\ndone\n", "1\n2\n", 0},
		{"here-document", "cat <<X\na b\nX\necho c\n", "a b\nc\n", 0},
		{"commands share the input", "read x\nvalue\necho $x\nread y; echo $y\nlast\n", "value\nlast\n", 0},
		{"variables and functions stay", "f() { echo f$x; }\nx=1\nf\n", "f1\n", 0},
		{"blank lines and comments", "\n\n# no\necho a # b\n", "a\n", 0},
		{"no such program", "no-such-program\n", "", 127},
		{"syntax error", "echo a\nif (\n", "a\n", 2},
		{"longer than a terminal's line", "echo " + strings.Repeat("x", 10000) + "\n", strings.Repeat("x", 10000) + "\n", 0},
	} {
		s, stdin, input, stdout, stderr := start(t)
		go func() {
			_, _ = io.WriteString(input, tt.script)
			input.Close()
		}()
		status := s.lines(&byteReader{r: stdin})
		if stdout.String() != tt.stdout || status != tt.status {
			t.Errorf("%s: output %q, status %d, want %q, %d; errors %q",
				tt.name, stdout, status, tt.stdout, tt.status, stderr)
		}
	}
}

// A line is run when it is there, not when the input ends: else this test does
// not get its answer.
func TestLinesRunAsTheyArrive(t *testing.T) {
	in, input, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	output, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newShell(in, out, os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan uint8)
	go func() { ended <- s.lines(&byteReader{r: in}) }()
	const patience = 10 * time.Second
	if err := output.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(input, "echo "+word); err != nil {
			t.Fatal(err)
		}
		answer := make([]byte, len(word)) // the shell may write it in pieces
		if n, err := io.ReadFull(output, answer); err != nil || string(answer) != word {
			t.Fatalf("answer %q, %v, want %q", answer[:n], err, word)
		}
	}
	input.Close()
	if status := <-ended; status != 0 {
		t.Errorf("status %d, want 0", status)
	}
}

func TestFileAndParameters(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("echo $# $1 $2\nexit 5\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	s, _, _, stdout, _ := start(t)
	if status := s.file(script, []string{"-x", "b c"}); status != 5 || stdout.String() != "2 -x b c\n" {
		t.Errorf("output %q, status %d, want %q, 5", stdout, status, "2 -x b c\n")
	}
	if status := s.file(script+".none", nil); status != statusNotFound {
		t.Errorf("no such file: status %d, want %d", status, statusNotFound)
	}
}

func TestComplete(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"data/inner", "uname", "unshare", "umount"} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	for line, want := range map[string]string{
		"una":                "uname ",
		"un":                 "un",
		"u":                  "u",
		"zzz":                "zzz",
		"ls da":              "ls data/",
		"ls data/":           "ls data/inner ",
		"ls " + dir + "/una": "ls " + dir + "/uname ",
		"cat <data/in":       "cat <data/inner ",
		"./una":              "./uname ",
	} {
		if got := complete(line); got != want {
			t.Errorf("complete(%q) = %q, want %q", line, got, want)
		}
	}
}

func TestInterruptClearsTheLine(t *testing.T) {
	p := make([]byte, 8)
	n, err := keyReader{strings.NewReader("\x03")}.Read(p)
	if err != nil || string(p[:n]) != "\x05\x15" {
		t.Errorf("Ctrl-C reads as %q, %v, want Ctrl-E Ctrl-U", p[:n], err)
	}
	n, _ = keyReader{strings.NewReader("ab")}.Read(p)
	if string(p[:n]) != "a" {
		t.Errorf("read %q, want one byte", p[:n])
	}
}
