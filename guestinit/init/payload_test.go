package main

import (
	"os"
	"syscall"
	"testing"
)

func TestFind(t *testing.T) {
	first, second := t.TempDir(), t.TempDir()
	for path, perm := range map[string]os.FileMode{
		first + "/data": 0o644, first + "/both": 0o755, second + "/both": 0o755, second + "/late": 0o755,
	} {
		if err := os.WriteFile(path, nil, perm); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", first+":"+second)
	for _, tt := range []struct {
		name, want string
		err        error
	}{
		{"both", first + "/both", nil},
		{"late", second + "/late", nil},
		{"none", "", syscall.ENOENT},
		{"data", "", syscall.EACCES},
		{"/a/path", "/a/path", nil},
	} {
		got, err := find(tt.name)
		if got != tt.want || err != tt.err {
			t.Errorf("find(%q) = %q, %v, want %q, %v", tt.name, got, err, tt.want, tt.err)
		}
	}
}

func TestRunReportsTheExitStatus(t *testing.T) {
	s := session{terminal: true} // standard streams as they are
	for _, tt := range []struct {
		argv []string
		want uint8
	}{
		{[]string{"/bin/sh", "-c", "exit 0"}, 0},
		{[]string{"/bin/sh", "-c", "exit 7"}, 7},
		{[]string{"/bin/sh", "-c", "exit 255"}, 255},
		{[]string{"/bin/sh", "-c", "kill -9 $$"}, 128 + 9},
		{[]string{"/nonexistent"}, statusNotFound},
		{[]string{"no-such-program"}, statusNotFound},
		{[]string{"/etc/passwd"}, statusNotExecutable},
		{[]string{"sh", "-c", "(sleep 0.01 &) ; exit 4"}, 4},
	} {
		if got := s.run(tt.argv); got != tt.want {
			t.Errorf("%q: exit status %d, want %d", tt.argv, got, tt.want)
		}
	}
}

func TestCommands(t *testing.T) {
	for _, tt := range []struct {
		argv []string
		want int
	}{
		{[]string{"nproc"}, 0},
		{[]string{"nproc", "--all"}, statusUsage},
		{[]string{"shutdown", "+5"}, statusUsage},
		{[]string{"poweroff", "now"}, statusUsage},
	} {
		if got := commands[tt.argv[0]](tt.argv[0], tt.argv[1:]); got != tt.want {
			t.Errorf("%q: exit status %d, want %d", tt.argv, got, tt.want)
		}
	}
}
