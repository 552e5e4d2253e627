package guest

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/wire"
)

// A mount is one call of mount(2).
type mount struct {
	source, target, fstype string
	flags                  uintptr
	data                   string
}

// kernelMounts are the file systems that are this host's own.
var kernelMounts = []mount{
	{"proc", "/proc", "proc", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"sysfs", "/sys", "sysfs", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
	{"devtmpfs", "/dev", "devtmpfs", unix.MS_NOSUID, "mode=0755"},
}

// hostMounts are those that a Linux user expects besides.
var hostMounts = []mount{
	{"devpts", "/dev/pts", "devpts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666,gid=5"},
	{"tmpfs", "/dev/shm", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
	{"tmpfs", "/run", "tmpfs", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
	{"cgroup2", "/sys/fs/cgroup", "cgroup2", unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC, ""},
}

// devices are the files in /dev that whoever called kvmhost may use, whatever
// their group: this host is theirs alone.
var devices = []string{"/dev/kvm", "/dev/net/tun", "/dev/vhost-net", "/dev/vhost-vsock", "/dev/fuse"}

// Options of the 9p mounts. The real host's root is taken not to change while
// the command runs, so the guest may cache all it saw; a share is written from
// both sides, so only what is mapped is cached there. The message size is the
// largest that QEMU's virtio queue of 128 descriptors takes.
const (
	p9Root  = "trans=virtio,version=9p2000.L,msize=512000,cache=loose"
	p9Share = "trans=virtio,version=9p2000.L,msize=512000,cache=mmap,access=any"
)

// mountAll mounts each of mounts below root, where their targets are made if
// they are not there.
func mountAll(root string, mounts []mount) error {
	for _, m := range mounts {
		target := filepath.Join(root, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.source, target, m.fstype, m.flags, m.data); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.fstype, m.target, err)
		}
	}
	return nil
}

// becomeHost turns the system that the initramfs left into one that looks
// like the real host, for job.
func becomeHost(job *wire.Job) error {
	const newRoot = "/root"
	err := mountAll("/", []mount{
		{RootTag, "/lower", "9p", unix.MS_RDONLY, p9Root},
		{"tmpfs", "/writes", "tmpfs", 0, "mode=0755"},
	})
	if err != nil {
		return err
	}
	for _, dir := range []string{"/writes/upper", "/writes/work"} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return err
		}
	}
	overlay := mount{"overlay", newRoot, "overlay", 0, "lowerdir=/lower,upperdir=/writes/upper,workdir=/writes/work"}
	if err := mountAll("/", []mount{overlay}); err != nil {
		return err
	}
	if err := switchRoot(newRoot); err != nil {
		return err
	}
	if err := mountAll("/", hostMounts); err != nil {
		return err
	}
	if err := mountAll("/", shareMounts(job.Shares)); err != nil {
		return err
	}
	if err := prepareDevices(); err != nil {
		return err
	}
	return prepareKernel(job)
}

// switchRoot moves the kernel's own file systems to newRoot and makes that
// the root of every process to come.
func switchRoot(newRoot string) error {
	for _, m := range kernelMounts {
		target := filepath.Join(newRoot, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.target, target, "", unix.MS_MOVE, ""); err != nil {
			return fmt.Errorf("move %s: %w", m.target, err)
		}
	}
	if err := os.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return fmt.Errorf("move %s: %w", newRoot, err)
	}
	if err := unix.Chroot("."); err != nil {
		return fmt.Errorf("chroot: %w", err)
	}
	return os.Chdir("/")
}

func shareMounts(shares []wire.Share) []mount {
	var mounts []mount
	for _, s := range shares {
		mounts = append(mounts, mount{s.Tag, s.Path, "9p", 0, p9Share})
	}
	return mounts
}

// prepareDevices gives the command the device files it expects.
func prepareDevices() error {
	links := map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0",
		"/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}
	for name, target := range links {
		if err := os.Symlink(target, name); err != nil {
			return err
		}
	}
	if err := os.Remove("/dev/ptmx"); err != nil {
		return err
	}
	if err := os.Symlink("pts/ptmx", "/dev/ptmx"); err != nil {
		return err
	}
	for _, device := range devices {
		if err := os.Chmod(device, 0o666); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	return nil
}

// prepareKernel sets what the kernel itself holds: clock, name, loopback
// interface and resource limits.
func prepareKernel(job *wire.Job) error {
	now := unix.NsecToTimespec(job.Time.UnixNano())
	if err := unix.ClockSettime(unix.CLOCK_REALTIME, &now); err != nil {
		return fmt.Errorf("set the clock to %s: %w", job.Time.Format(time.RFC3339), err)
	}
	if err := unix.Sethostname([]byte(job.Hostname)); err != nil {
		return fmt.Errorf("set the host name to %q: %w", job.Hostname, err)
	}
	return loopbackUp()
}

// loopbackUp brings the interface lo up.
func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req); err != nil {
		return fmt.Errorf("loopback: %w", err)
	}
	return nil
}
