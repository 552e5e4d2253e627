package main

import (
	"errors"
	"os"
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A disk is a root file system on a block device, as the kernel's command line
// describes it (kernel-parameters: root=, rootfstype=, rootflags=, ro, rw,
// init=). Where there is an initramfs, the kernel leaves these to it.
type disk struct {
	device  string   // such as /dev/vda
	fstypes []string // to be tried in this order; none for all that the kernel knows
	flags   uintptr  // MS_RDONLY, which is the kernel's default, or 0
	options string   // what the file system itself understands
	init    string   // the program that becomes process 1
}

// rootDisk returns the disk that a kernel's command line names, and whether it
// names one. Of a parameter that is there twice the last counts.
func rootDisk(line string) (d disk, given bool) {
	d = disk{flags: unix.MS_RDONLY, init: "/sbin/init"}
	for word := range kernelWords(line) {
		name, value, _ := strings.Cut(word, "=")
		switch name {
		case "--":
			return d, d.device != ""
		case "root":
			d.device = value
		case "rootfstype":
			d.fstypes = strings.Split(value, ",")
		case "rootflags":
			d.options = value
		case "ro":
			d.flags = unix.MS_RDONLY
		case "rw":
			d.flags = 0
		case "init":
			d.init = value
		}
	}
	return d, d.device != ""
}

// check reports whether the device is named in the one way that is understood.
func (d disk) check() error {
	if !strings.HasPrefix(d.device, "/dev/") {
		return errors.New("want the path of a device, such as root=/dev/vda; labels and UUIDs are not looked up")
	}
	return nil
}

// deviceTime is how long a block device may take to appear after its driver was
// loaded. A virtual disk is there at once; others are looked for by threads of
// the kernel's.
const deviceTime = 10 * time.Second

// await waits until the device is there, for at most limit.
func (d disk) await(limit time.Duration) error {
	// The kernel itself makes the nodes of devices in devtmpfs.
	watch, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return err
	}
	defer unix.Close(watch)
	if _, err := unix.InotifyAddWatch(watch, path.Dir(d.device), unix.IN_CREATE); err != nil {
		return err
	}
	for end := time.Now().Add(limit); ; {
		var found unix.Stat_t
		err := unix.Stat(d.device, &found)
		if err == nil && found.Mode&unix.S_IFMT != unix.S_IFBLK {
			return unix.ENOTBLK
		}
		left := time.Until(end)
		if err != unix.ENOENT || left <= 0 {
			return err
		}
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(watch), Events: unix.POLLIN}}, int(left.Milliseconds())+1)
		var events [4096]byte
		_, _ = unix.Read(watch, events[:]) // what they say is seen above
	}
}

// blockDevices returns the paths of the block devices that are there, in words.
func blockDevices() string {
	entries, _ := os.ReadDir("/sys/class/block")
	if len(entries) == 0 {
		return "none"
	}
	var paths []string
	for _, entry := range entries {
		paths = append(paths, "/dev/"+entry.Name())
	}
	return strings.Join(paths, " ")
}

// mount mounts the disk at target, as the first of its file system types that it
// can be.
func (d disk) mount(target string) error {
	if len(d.fstypes) == 0 {
		known, err := os.ReadFile("/proc/filesystems")
		if err != nil {
			return err
		}
		d.fstypes = diskTypes(string(known))
	}
	for _, fstype := range d.fstypes {
		switch err := unix.Mount(d.device, target, fstype, d.flags, d.options); err {
		case nil:
			return nil
		case unix.EINVAL: // it is of another type, or rootflags= are
		case unix.ENODEV:
			return errors.New("the kernel has no file system " + fstype + ", or not in this initramfs")
		case unix.EACCES:
			return errors.New("the disk cannot be written: want ro, not rw")
		default:
			return errors.New("mounting it as " + fstype + ": " + err.Error())
		}
	}
	return errors.New("it cannot be mounted as " + strings.Join(d.fstypes, ", ") +
		": another file system, none, or rootflags= that are wrong")
}

// diskTypes returns the types of the file systems for disks in text, that of
// /proc/filesystems, where all others are marked "nodev". If there is ext4, it
// comes before ext3 and ext2: it serves these as well, but under their names it
// complains of its own.
func diskTypes(text string) (fstypes []string) {
	for line := range strings.Lines(text) {
		nodev, fstype, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		switch {
		case nodev != "":
		case fstype == "ext4":
			fstypes = append([]string{fstype}, fstypes...)
		default:
			fstypes = append(fstypes, fstype)
		}
	}
	return fstypes
}
