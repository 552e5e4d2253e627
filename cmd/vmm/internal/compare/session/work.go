package session

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare/arm"
)

// workPrefix begins the names of working directories, and of nothing that somebody
// would call so: they are removed.
const workPrefix = ".vmm-compare-work-"

// A workDir is a directory for what is prepared and built, locked as long as its
// run lives.
type workDir struct {
	path string
	lock *os.File
}

// openWork makes a working directory, and removes those of runs that were killed.
func openWork() (_ *workDir, err error) {
	abandoned, err := filepath.Glob(filepath.Join(os.TempDir(), workPrefix+"*"))
	if err != nil {
		return nil, err
	}
	for _, path := range abandoned {
		if w, err := lockWork(path); err == nil {
			_ = w.remove() // what cannot be removed is in nobody's way
		}
	}
	path, err := os.MkdirTemp("", workPrefix+arm.Word()+"-") // by which a guard finds what is mounted there
	if err != nil {
		return nil, err
	}
	return lockWork(path)
}

// lockWork fails if the directory is somebody's.
func lockWork(path string) (*workDir, error) {
	lock, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		lock.Close()
		return nil, fmt.Errorf("%s: cannot be locked: %w", path, err)
	}
	return &workDir{path, lock}, nil
}

// remove removes the directory and all in it, but nothing that is mounted there.
func (w *workDir) remove() error {
	defer w.lock.Close()
	// An engine that was killed has left mounts.
	if err := arm.Unmount(filepath.Base(w.path)); err != nil {
		return err
	}
	return os.RemoveAll(w.path)
}
