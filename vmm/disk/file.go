package disk

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
	"microvm/vmm/disk/qcow2"
)

// pageSize is the unit of the host's page cache in bytes. A write of whole pages
// reads nothing first.
const pageSize = 4096

// A file is a raw image: a regular file or a block device.
type file struct {
	file   *os.File
	fd     int // file's descriptor
	info   block.Info
	unsafe bool // nothing is made durable
	device bool // a block device

	// direct is the file for transfers around the page cache, nil if all go
	// through it: for those whose memory and range are multiples of align.
	direct   *os.File
	directFD int
	align    uint64

	inMemory   bool        // the file system has nothing but the page cache
	cannotTell atomic.Bool // it does not say whether a read would wait
}

// openFile opens and locks a raw image.
func openFile(o Options) (_ *file, err error) {
	access := os.O_RDWR
	if o.ReadOnly {
		access = os.O_RDONLY
	}
	f := &file{unsafe: o.Cache == CacheUnsafe}
	f.info = block.Info{
		ReadOnly: o.ReadOnly, Writeback: o.Cache != CacheWritethrough,
		BlockSize: block.SectorSize, PhysicalBlock: pageSize,
	}
	if f.file, err = openPath(o.Path, access); err != nil {
		return nil, err
	}
	f.fd = int(f.file.Fd())
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := lock(f.fd, o.ReadOnly); err != nil {
		return nil, err
	}
	if o.Format == FormatAuto && qcow2.Probe(f.file) {
		return nil, errors.New("it looks like a qcow2 image: say format=qcow2, or format=raw if these are the disk's own bytes")
	}
	if err := f.measure(); err != nil {
		return nil, err
	}
	if o.Cache == CacheNone {
		if err := f.openDirect(o.Path, access); err != nil {
			return nil, err
		}
	}
	return f, nil
}

// openPath opens the file at path if it is one that can be a disk.
func openPath(path string, access int) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	switch mode := info.Mode(); {
	case mode.IsRegular():
	case mode&os.ModeDevice != 0 && mode&os.ModeCharDevice == 0:
		if access != os.O_RDONLY {
			access |= unix.O_EXCL // refused while it is mounted, or part of something else (open(2))
		}
	case mode.IsDir():
		return nil, errors.New("is a directory; a disk is a file or a block device")
	default:
		return nil, errors.New("is neither a file nor a block device")
	}
	f, err := os.OpenFile(path, access, 0)
	switch {
	case errors.Is(err, unix.EBUSY):
		return nil, errors.New("the device is in use: mounted, or part of another device")
	case access != os.O_RDONLY && (errors.Is(err, unix.EACCES) || errors.Is(err, unix.EROFS)):
		return nil, fmt.Errorf("cannot be opened for writing: %w; the option ro opens it read-only", withoutPath(err))
	}
	return f, err
}

// measure finds size and blocks.
func (f *file) measure() error {
	info, err := f.file.Stat()
	if err != nil {
		return err
	}
	if f.device = !info.Mode().IsRegular(); f.device {
		if err := f.measureDevice(); err != nil {
			return err
		}
	} else {
		f.info.Size = info.Size()
		var fs unix.Statfs_t
		if err := unix.Fstatfs(f.fd, &fs); err != nil {
			return os.NewSyscallError("statfs", err)
		}
		f.inMemory = fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC
	}
	return checkSize(f.info, "truncate -s 1G FILE", fmt.Sprintf("truncate -s %%%d FILE", f.info.BlockSize))
}

// checkSize reports a size that no disk has, with the commands that create a disk
// of 1 GiB and that round the size up.
func checkSize(i block.Info, create, round string) error {
	switch {
	case i.Size == 0:
		return fmt.Errorf("is empty; a new disk of 1 GiB is made by %s", create)
	case i.Size%int64(i.BlockSize) != 0:
		return fmt.Errorf("its size, %d bytes, is not a multiple of %d; %s makes it one", i.Size, i.BlockSize, round)
	}
	return nil
}

func (f *file) measureDevice() error {
	size, err := unix.IoctlGetInt(f.fd, unix.BLKGETSIZE64)
	if err != nil {
		return os.NewSyscallError("BLKGETSIZE64", err)
	}
	logical, err := unix.IoctlGetInt(f.fd, unix.BLKSSZGET)
	if err != nil {
		return os.NewSyscallError("BLKSSZGET", err)
	}
	physical, err := unix.IoctlGetUint32(f.fd, unix.BLKPBSZGET)
	if err != nil {
		return os.NewSyscallError("BLKPBSZGET", err)
	}
	f.info.Size, f.info.BlockSize, f.info.PhysicalBlock = int64(size), uint32(logical), max(physical, uint32(logical))
	return nil
}

// lock takes the file for this process: for others to read too if it is only
// read. The lock belongs to the open file, so that the kernel frees it however
// the process ends, and spans all bytes, so that monitors that lock some find
// it as well.
func lock(fd int, shared bool) error {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if shared {
		l.Type = unix.F_RDLCK
	}
	err := unix.FcntlFlock(uintptr(fd), unix.F_OFD_SETLK, &l)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EACCES):
		if shared {
			return errors.New("another vmm, or another program that locks disks, uses it and may write it")
		}
		return errors.New("another vmm, or another program that locks disks, uses it; more than one can only with the option ro for each")
	case err != nil:
		return os.NewSyscallError("lock", err)
	}
	return nil
}

// openDirect opens the file once more, for transfers around the page cache.
// What does not have the alignment that they need goes through it: a disk's
// smallest block does not depend on how it is opened, or its partitions would
// not be found again.
func (f *file) openDirect(path string, access int) (err error) {
	f.direct, err = os.OpenFile(path, access|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		return errors.New("cache=none: its file system has no direct I/O; take another cache")
	}
	if err != nil {
		return err
	}
	f.directFD = int(f.direct.Fd())
	if same, err := sameFile(f.file, f.direct); err != nil || !same {
		return errors.Join(errors.New("is another file than a moment ago"), err)
	}
	f.align = max(pageSize, uint64(f.info.BlockSize)) // enough anywhere
	var st unix.Statx_t
	if err := unix.Statx(f.directFD, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st); err == nil && st.Dio_mem_align != 0 {
		f.align = uint64(max(st.Dio_mem_align, st.Dio_offset_align))
	}
	return nil
}

func sameFile(a, b *os.File) (bool, error) {
	ai, err := a.Stat()
	if err != nil {
		return false, err
	}
	bi, err := b.Stat()
	return err == nil && os.SameFile(ai, bi), err
}

// Close closes the file, which frees its lock.
func (f *file) Close() error {
	var errs []error
	for _, one := range []*os.File{f.direct, f.file} {
		if one != nil {
			errs = append(errs, one.Close())
		}
	}
	return errors.Join(errs...)
}
