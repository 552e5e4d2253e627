package session

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

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
	if err := unmountBelow(w.path); err != nil {
		return err
	}
	return os.RemoveAll(w.path)
}

// unmountBelow takes away the mounts that an engine which was killed has left in
// dir, the last first.
func unmountBelow(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	for _, line := range slices.Backward(strings.Split(string(text), "\n")) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(fields) < 5 || !strings.HasPrefix(fields[4], dir+"/") {
			continue
		}
		if err := unix.Unmount(fields[4], unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("unmounting %s: %w", fields[4], err))
		}
	}
	return errors.Join(errs...)
}
