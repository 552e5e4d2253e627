package initramfs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/u-root/u-root/pkg/cpio"
	"github.com/u-root/uio/uio"
	"golang.org/x/sys/unix"
)

// addRoot adds all that is in the directory o.Root: files with their owners and
// permissions, symbolic links, devices, and hard links. The contents are read
// when the archive is written. Extended attributes, and with them the
// capabilities of files, have no place in the format.
func (o *Options) addRoot(a *archive) error {
	if o.Root == "" {
		return nil
	}
	err := a.addTree(o.Root)
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("root directory: %w; its owner or root may read it", err)
	case err != nil:
		return fmt.Errorf("root directory: %w", err)
	}
	return nil
}

func (a *archive) addTree(dir string) error {
	top, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return err
	}
	root, err := stat(top)
	if err != nil {
		return err
	}
	if root.Mode&unix.S_IFMT != unix.S_IFDIR {
		return fmt.Errorf("%s is not a directory; want one with what is to be at / in the guest", dir)
	}
	return filepath.WalkDir(top, func(host string, entry fs.DirEntry, err error) error {
		if err != nil || host == top {
			return err
		}
		s, err := stat(host)
		if err != nil {
			return err
		}
		r, err := record(host, strings.TrimPrefix(host[len(top):], "/"), s)
		if err != nil {
			return err
		}
		mounted := s.Mnt_id != root.Mnt_id
		if mounted {
			r.ReaderAt, r.FileSize = nil, 0 // what is below the mount cannot be seen
		}
		a.records[r.Name] = r
		if mounted && entry.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// stat returns all that is known of a file, from Linux 5.8 on with the mount that
// it is on.
func stat(name string) (*unix.Statx_t, error) {
	const wanted = unix.STATX_BASIC_STATS | unix.STATX_MNT_ID
	var s unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, name, unix.AT_SYMLINK_NOFOLLOW, wanted, &s); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	return &s, nil
}

// trailer is the name that ends an archive.
const trailer = "TRAILER!!!"

// record returns the record of the host's file, by its name in the archive.
func record(host, name string, s *unix.Statx_t) (cpio.Record, error) {
	if name == trailer {
		return cpio.Record{}, fmt.Errorf("%s: this name ends an archive", host)
	}
	r := cpio.Record{Info: cpio.Info{
		Name: name, Mode: uint64(s.Mode), UID: uint64(s.Uid), GID: uint64(s.Gid),
		Rmajor: uint64(s.Rdev_major), Rminor: uint64(s.Rdev_minor),
	}}
	switch s.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		err := addContent(&r, host, s)
		return r, err
	case unix.S_IFLNK:
		target, err := os.Readlink(host)
		r.ReaderAt, r.FileSize = strings.NewReader(target), uint64(len(target))
		return r, err
	}
	return r, nil
}

// addContent adds what the file has in it, and if the host has other names for
// it which file it is.
func addContent(r *cpio.Record, host string, s *unix.Statx_t) error {
	if s.Size > maxFileSize {
		return tooLarge(host, s.Size)
	}
	if err := unix.Faccessat(unix.AT_FDCWD, host, unix.R_OK, unix.AT_EACCESS); err != nil {
		return &fs.PathError{Op: "open", Path: host, Err: err}
	}
	r.ReaderAt, r.FileSize = uio.NewLazyFile(host), s.Size
	if s.Nlink > 1 {
		r.Dev, r.Ino = unix.Mkdev(s.Dev_major, s.Dev_minor), s.Ino
	}
	return nil
}
