package arm

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// cgroupRoot is where cgroups are by convention: version 2 itself, or a directory
// for each hierarchy of version 1, and perhaps one for version 2.
const cgroupRoot = "/sys/fs/cgroup"

// removeCgroups removes the cgroups with word in their names, which have no
// processes, with those below them, from all hierarchies.
func removeCgroups(word string) error {
	var dirs []string
	err := filepath.WalkDir(cgroupRoot, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && hasWord([]byte(path), word) {
			dirs = append(dirs, path)
		}
		return nil // others come and go
	})
	// Those below come after those above.
	for _, dir := range slices.Backward(dirs) {
		if rmdirErr := unix.Rmdir(dir); rmdirErr != nil && !errors.Is(rmdirErr, fs.ErrNotExist) {
			err = errors.Join(err, &fs.PathError{Op: "rmdir", Path: dir, Err: rmdirErr})
		}
	}
	return err
}
