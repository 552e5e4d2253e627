package vmm_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// Debian boots by systemd from a disk to the login prompt; root logs in and
// powers off, and leaves a file system without a fault. The disk is a qcow2 image
// over another, which stays as it was.
func TestDebian(t *testing.T) {
	base := artifact(t, "debian.img")
	defer unchanged(t, base)()
	image := filepath.Join(t.TempDir(), "image")
	host(t, "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, image)
	g := newGuest(t, "")
	g.Disks = []vmm.Disk{{Options: disk.Options{Path: image, Format: disk.FormatQCOW2}}}
	g.Cmdline += " root=/dev/vda rw"
	const prompt = "root@debian:~# "
	g.Console.In = &person{g.console, []dialog{
		{"debian login: ", "root"},
		{prompt, "echo $((6 * 7)): $(systemctl is-system-running --wait)"},
		{"42: ", "systemctl poweroff"},
	}}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	if !strings.Contains(g.console.text(), "42: running") { // and then the echo of what is typed next, or a new line
		t.Errorf("the system does not run as it should:\n%s", g.console.text())
	}

	host(t, "qemu-img", "check", "-q", image)
	contents := filepath.Join(t.TempDir(), "contents")
	host(t, "qemu-img", "convert", "-O", "raw", image, contents)
	host(t, "e2fsck", "-fn", contents)
}

// A guest writes to a disk under an overlay, and finds there what it has written;
// the disk stays as it was.
func TestOverlay(t *testing.T) {
	base := artifact(t, "debian.img")
	defer unchanged(t, base)()
	g := newGuest(t, "")
	g.Disks = []vmm.Disk{{Options: disk.Options{Path: base, Overlay: true}}}
	g.Cmdline += ` root=/dev/vda rw init=/bin/sh -- -c "` +
		"cp -a /usr/sbin /usr/copy && sync && echo 3 > /proc/sys/vm/drop_caches && diff -r --no-dereference /usr/sbin /usr/copy && echo they are the same; " +
		"mount -o remount,ro / && poweroff -f" + `"`
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	if !strings.Contains(g.console.text(), "they are the same\n") {
		t.Errorf("the copy differs:\n%s", g.console.text())
	}
}

// unchanged returns a function that checks that a file is as it is now.
func unchanged(t *testing.T, path string) (check func()) {
	t.Helper()
	stat := func() os.FileInfo {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info
	}
	before, space := stat(), allocated(t, path)
	return func() {
		if after := stat(); !os.SameFile(before, after) || !after.ModTime().Equal(before.ModTime()) || allocated(t, path) != space {
			t.Errorf("%s has changed", path)
		}
	}
}

// A person is who sits at a guest's console.
type person struct {
	*console
	types []dialog
}

// A dialog is a line that a person types when the guest has said something.
type dialog struct{ prompt, line string }

func (p *person) Read(ctx context.Context, b []byte) (int, error) {
	if len(p.types) == 0 {
		<-ctx.Done()
		return 0, ctx.Err()
	}
	if !p.await(ctx, p.types[0].prompt) {
		return 0, ctx.Err()
	}
	n := copy(b, p.types[0].line+"\n")
	p.types = p.types[1:]
	return n, nil
}
