package experiment

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// chill takes from the page cache the files that an arm starts from, and if that is
// permitted everything. Not even then does that take away what is in use, such as
// this program, nor what is in a file system in memory.
func (s *Session) chill(a PreparedArm) error {
	files := a.Files()
	if files == nil && !s.DropCaches {
		return fmt.Errorf("cannot be made cold: %w", errNoFiles)
	}
	for _, name := range files {
		err := filepath.WalkDir(name, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return evict(path)
		})
		if err != nil {
			return fmt.Errorf("cannot be made cold: %w", err)
		}
	}
	if !s.DropCaches {
		return nil
	}
	// The page cache without the names of files (sysctl/vm.rst drop_caches).
	return os.WriteFile("/proc/sys/vm/drop_caches", []byte("1"), 0)
}

// evict takes a file from the page cache.
func evict(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	// Pages that are not on the disk yet would stay.
	return errors.Join(f.Sync(), unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED))
}

// canChill says whether the state of the page cache can be made to matter: for
// files in memory alone it cannot.
func (s *Session) canChill() bool {
	var fs unix.Statfs_t
	err := unix.Statfs(s.Root, &fs)
	return s.DropCaches || err == nil && fs.Type != unix.TMPFS_MAGIC && fs.Type != unix.RAMFS_MAGIC
}
