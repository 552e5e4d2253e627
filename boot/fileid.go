package boot

import (
	"fmt"
	"os"
	"syscall"
	"time"
)

// A fileID tells a file and its contents from others without reading it.
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
	return fileID{dev: st.Dev, ino: st.Ino, size: info.Size(),
		modified: time.Unix(st.Mtim.Unix()), changed: time.Unix(st.Ctim.Unix())}, nil
}

// String is the file's name in the cache.
func (id fileID) String() string {
	return fmt.Sprintf("%x-%x-%x-%x-%x", id.dev, id.ino, id.size, id.modified.UnixNano(), id.changed.UnixNano())
}
