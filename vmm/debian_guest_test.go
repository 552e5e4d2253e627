package vmm_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio"
	"microvm/vmm"
	"microvm/vmm/disk"
)

// debianRoot is where the guest's half of a test has Debian.
const debianRoot = "/debian"

// withDebian gives g a first disk, /dev/vda, with the system whose programs
// debian runs in the guest.
func (g *guest) withDebian(t *testing.T) *guest {
	t.Helper()
	g.Disks = append(g.Disks, vmm.Disk{Options: disk.Options{Path: artifact(t, "debian.img"), ReadOnly: true}})
	return g
}

// addDisk gives g another disk of so many bytes, kept in a sparse file, and
// returns the file's path.
func (g *guest) addDisk(t *testing.T, size int64, o disk.Options) string {
	t.Helper()
	o.Path = filepath.Join(t.TempDir(), "disk")
	if err := os.WriteFile(o.Path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(o.Path, size); err != nil {
		t.Fatal(err)
	}
	g.Disks = append(g.Disks, vmm.Disk{Options: o})
	return o.Path
}

// mountDebian makes Debian ready in the guest, with nothing that can be written
// but /tmp.
func mountDebian(t *testing.T) {
	t.Helper()
	for _, module := range []string{"crc32c_generic", "ext4"} {
		program(t, exec.Command("modprobe", module))
	}
	if err := os.Mkdir(debianRoot, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		source, target, fstype string
		flags                  uintptr
	}{
		{"/dev/vda", "", "ext4", unix.MS_RDONLY},
		{"/dev", "/dev", "", unix.MS_BIND | unix.MS_REC},
		{"/proc", "/proc", "", unix.MS_BIND},
		{"/sys", "/sys", "", unix.MS_BIND},
		{"tmpfs", "/tmp", "tmpfs", 0},
	} {
		if err := unix.Mount(m.source, debianRoot+m.target, m.fstype, m.flags, ""); err != nil {
			t.Fatalf("%s: %v", m.source, err)
		}
	}
}

// debian runs a program of Debian's in the guest, and returns its output.
func debian(t *testing.T, name string, args ...string) string {
	t.Helper()
	// What is found in PATH is the initramfs's.
	shell := exec.Command("/bin/sh", append([]string{"-c", `PATH=/usr/sbin:/usr/bin; exec "$0" "$@"`, name}, args...)...)
	shell.Dir, shell.SysProcAttr = "/", &unix.SysProcAttr{Chroot: debianRoot}
	return program(t, shell)
}

// onDisk does something with the file system on a device of the guest, mounted
// at a directory of Debian's.
func onDisk(t *testing.T, device string, do func(dir string)) {
	t.Helper()
	const dir = debianRoot + "/mnt"
	if err := unix.Mount(device, dir, "ext4", 0, ""); err != nil {
		t.Fatalf("%s: %v", device, err)
	}
	do(dir)
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatalf("%s: %v", device, err)
	}
}

// host runs a program of the host's and returns its output.
func host(t *testing.T, name string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		path = "/usr/sbin/" + name // not in every user's PATH
	}
	return program(t, exec.Command(path, args...))
}

// program runs a program, which must succeed, and returns its output.
func program(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var failure bytes.Buffer
	cmd.Stderr = &failure
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", cmd.Args, err, out, &failure)
	}
	return string(out)
}

// device is the path of the guest's disk at a place in the configuration.
func device(place int) string { return fmt.Sprintf("/dev/vd%c", 'a'+place) }

// describe is what a device says of itself under a name, nil if nothing.
func describe(d virtio.Stats, name string) any {
	for _, p := range d.Device {
		if p.Name == name {
			return p.Value
		}
	}
	return nil
}
