package command

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	for name, mode := range map[string]os.FileMode{"program": 0o755, "text": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	t.Setenv("PATH", os.Getenv("PATH")) // Find changes it; the test gives it back
	tests := []struct {
		name   string
		env    []string
		file   string
		status int
	}{
		{"program", []string{"PATH=" + dir}, filepath.Join(dir, "program"), 0},
		{"program", []string{"PATH=."}, "program", 0},
		{"./program", []string{"PATH=/nonexistent"}, "./program", 0},
		{"sh", nil, "/bin/sh", 0},
		{"program", []string{"PATH=/nonexistent"}, "", StatusNotFound},
		{"./missing", nil, "", StatusNotFound},
		{"./text", nil, "", StatusNotRunnable},
		{dir, nil, "", StatusNotRunnable},
	}
	for _, test := range tests {
		file, err := Find(test.name, test.env)
		var commandErr *Error
		status := 0
		if errors.As(err, &commandErr) {
			status = commandErr.Status
		}
		if file != test.file || status != test.status {
			t.Errorf("Find(%q, %q) = %q, %v; want %q, status %d", test.name, test.env, file, err, test.file, test.status)
		}
	}
}

func TestNewError(t *testing.T) {
	err := NewError("program", &os.PathError{Op: "fork/exec", Path: "/bin/program", Err: syscall.ENOEXEC})
	if want := "program: exec format error"; err.Error() != want || err.Status != StatusNotRunnable {
		t.Errorf("%q, status %d; want %q, %d", err, err.Status, want, StatusNotRunnable)
	}
}
