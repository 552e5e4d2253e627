package main

import (
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// A part is something that the guest's root needs and the initramfs does not
// hold. It prints as the shell command that would make it.
type part interface {
	create() error
	String() string
}

// procMount comes before the others: it leads to the guest port. The payload is
// read from it too, so that it is mounted even if the port is known without.
var procMount = mount{"proc", "/proc", hardened, ""}

// root is what process 1 adds to the initramfs, in this order.
var root = []part{
	mount{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
	dir{"/dev/pts", 0o755},
	mount{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "ptmxmode=0666,mode=0620,gid=5"},
	dir{"/dev/shm", 0o1777},
	mount{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	symlink{"/proc/self/fd", "/dev/fd"},
	symlink{"fd/0", "/dev/stdin"},
	symlink{"fd/1", "/dev/stdout"},
	symlink{"fd/2", "/dev/stderr"},
	mount{"sysfs", "/sys", hardened, ""},
	mount{"cgroup2", "/sys/fs/cgroup", hardened, ""},
	mount{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	mount{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
}

// hardened are the flags of file systems that hold no programs.
const hardened = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC

// build creates parts. One that fails is reported and left out: a kernel may
// lack a file system that the payload does not need.
func build(parts []part) {
	for _, p := range parts {
		if err := p.create(); err != nil {
			say(p.String(), ": ", err.Error())
		}
	}
}

// A mount is a file system of the kernel's own at a directory.
type mount struct {
	fstype, target string
	flags          uintptr
	data           string // what the file system itself understands
}

func (m mount) create() error {
	err := unix.Mount(m.fstype, m.target, m.fstype, m.flags, m.data)
	if err == unix.EBUSY { // the kernel mounts devtmpfs itself if it is built so
		return nil
	}
	return err
}

// mountFlags are the names of the flags that we use, as mount(8) has them.
var mountFlags = []struct {
	flag uintptr
	name string
}{
	{unix.MS_NOSUID, "nosuid"},
	{unix.MS_NODEV, "nodev"},
	{unix.MS_NOEXEC, "noexec"},
}

func (m mount) String() string {
	var options []string
	for _, f := range mountFlags {
		if m.flags&f.flag != 0 {
			options = append(options, f.name)
		}
	}
	if m.data != "" {
		options = append(options, m.data)
	}
	command := "mount -t " + m.fstype
	if len(options) > 0 {
		command += " -o " + strings.Join(options, ",")
	}
	return command + " " + m.fstype + " " + m.target
}

// A dir is a directory with its permissions in the manner of chmod(2).
type dir struct {
	path string
	perm uint32
}

func (d dir) create() error {
	if err := unix.Mkdir(d.path, d.perm); err != nil && err != unix.EEXIST {
		return err
	}
	return nil
}

func (d dir) String() string { return "mkdir -p " + d.path }

// A symlink is a symbolic link at path.
type symlink struct{ target, path string }

func (s symlink) create() error { return os.Symlink(s.target, s.path) }

func (s symlink) String() string { return "ln -s " + s.target + " " + s.path }
