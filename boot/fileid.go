package boot

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// A fileID tells a file and its contents from others without reading it: no
// write leaves its change time alone, and nobody can set that.
type fileID struct {
	dev, ino uint64
	size     int64
	modified time.Time
	changed  time.Time
}

func idOf(f *os.File) (fileID, error) {
	info, err := f.Stat()
	if err != nil {
		return fileID{}, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}, fmt.Errorf("no inode number for %s", f.Name())
	}
	return fileID{dev: st.Dev, ino: st.Ino, size: info.Size(), modified: info.ModTime(), changed: time.Unix(st.Ctim.Unix())}, nil
}
