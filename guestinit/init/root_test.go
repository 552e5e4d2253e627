package main

import (
	"path"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPartsPrintAsCommands(t *testing.T) {
	for _, tt := range []struct {
		part part
		want string
	}{
		{mount{"proc", "/proc", 0, ""}, "mount -t proc proc /proc"},
		{mount{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
			"mount -t tmpfs -o nosuid,nodev,mode=1777 tmpfs /tmp"},
		{mount{"sysfs", "/sys", unix.MS_NOEXEC, ""}, "mount -t sysfs -o noexec sysfs /sys"},
		{dir{"/dev/pts", 0o755}, "mkdir -p /dev/pts"},
		{symlink{"fd/0", "/dev/stdin"}, "ln -s fd/0 /dev/stdin"},
	} {
		if got := tt.part.String(); got != tt.want {
			t.Errorf("%#v prints as %q, want %q", tt.part, got, tt.want)
		}
	}
}

// What is made on a file system must come after its mount, or the mount hides
// it.
func TestRootIsInOrder(t *testing.T) {
	made := []string{procMount.target}
	for _, p := range root {
		var target string
		switch p := p.(type) {
		case mount:
			target = p.target
		case dir:
			target = p.path
		case symlink:
			target = p.path
		}
		for _, before := range made {
			if strings.HasPrefix(before, target+"/") {
				t.Errorf("%v hides %s", p, before)
			}
		}
		if parent := path.Dir(target); parent == "/dev" && !slices.Contains(made, "/dev") {
			t.Errorf("%v comes before /dev is mounted", p)
		}
		made = append(made, target)
	}
}

func TestBuildGoesOnAfterAFailure(t *testing.T) {
	dirs := t.TempDir()
	build([]part{dir{dirs + "/no/parent", 0o755}, dir{dirs + "/second", 0o755}, dir{dirs + "/second", 0o755}})
	if !exists(dirs + "/second") {
		t.Error("the part after one that failed was not made")
	}
}

func TestMounts(t *testing.T) {
	const text = "rootfs / rootfs rw 0 0\n/dev/vda /mnt/a\\040b ext4 rw 0 0\n" +
		"proc /proc proc rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/vdb /tmp ext4 rw 0 0\n\n"
	want := []mount{{fstype: "rootfs", target: "/"}, {fstype: "ext4", target: "/mnt/a b"},
		{fstype: "proc", target: "/proc"}, {fstype: "tmpfs", target: "/tmp"}, {fstype: "ext4", target: "/tmp"}}
	got := mounts(text)
	if !slices.Equal(got, want) {
		t.Errorf("mounts = %q, want %q", got, want)
	}
	for _, m := range got {
		if want := m.fstype != "ext4"; ours(m) != want {
			t.Errorf("ours(%q) = %v, want %v", m, !want, want)
		}
	}
}
