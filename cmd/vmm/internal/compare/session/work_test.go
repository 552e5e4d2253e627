package session

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestWork: the directory of a run that was killed is removed by the next, that of
// one that lives is not, and never what is mounted there.
func TestWork(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	alive, err := openWork()
	if err != nil {
		t.Fatal(err)
	}
	killed, err := openWork()
	if err != nil {
		t.Fatal(err)
	}
	mine := t.TempDir()
	write(t, filepath.Join(mine, "file"), "mine")
	point := filepath.Join(killed.path, "arm", "root")
	if err := os.MkdirAll(point, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(mine, point, "", unix.MS_BIND, ""); errors.Is(err, unix.EPERM) {
		t.Log("not root: the directory that was left has no mount")
	} else if err != nil {
		t.Fatal(err)
	}
	killed.lock.Close() // as the kernel does

	next, err := openWork()
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{alive.path: true, next.path: true, killed.path: false, filepath.Join(mine, "file"): true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s: %v, want it there: %v", path, err, want)
		}
	}
	if err := errors.Join(alive.remove(), next.remove()); err != nil {
		t.Error(err)
	}
}
