package main

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestRootDisk(t *testing.T) {
	const ro = unix.MS_RDONLY
	for _, tt := range []struct {
		line string
		want disk // without a device: none is given
	}{
		{"console=ttyS0 quiet\n", disk{}},
		{"root= rw", disk{}},
		{"quiet -- root=/dev/vda", disk{}},
		{"root=/dev/vda", disk{"/dev/vda", nil, ro, "", "/sbin/init"}},
		{"rw root=/dev/vda\n", disk{"/dev/vda", nil, 0, "", "/sbin/init"}},
		{"root=/dev/vda rw ro", disk{"/dev/vda", nil, ro, "", "/sbin/init"}},
		{"root=/dev/vda root=/dev/vdb1", disk{"/dev/vdb1", nil, ro, "", "/sbin/init"}},
		{"root=UUID=1-2", disk{"UUID=1-2", nil, ro, "", "/sbin/init"}},
		{"root=/dev/vda rootfstype=ext4,xfs rootflags=data=journal,discard init=/bin/sh -- rw init=/x",
			disk{"/dev/vda", []string{"ext4", "xfs"}, ro, "data=journal,discard", "/bin/sh"}},
	} {
		got, given := rootDisk(tt.line)
		if want := tt.want.device != ""; given != want {
			t.Errorf("rootDisk(%q) found one: %v, want %v", tt.line, given, want)
		}
		if given && !reflect.DeepEqual(got, tt.want) {
			t.Errorf("rootDisk(%q) = %+v, want %+v", tt.line, got, tt.want)
		}
	}
}

func TestDeviceIsAPath(t *testing.T) {
	for device, want := range map[string]bool{"/dev/vda": true, "UUID=1-2": false, "LABEL=x": false, "fe00": false} {
		if err := (disk{device: device}).check(); (err == nil) != want {
			t.Errorf("root=%s: error %v", device, err)
		}
	}
}

func TestAwait(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]error{"none": unix.ENOENT, "no/directory": unix.ENOENT, "file": unix.ENOTBLK} {
		if err := (disk{device: filepath.Join(dir, name)}).await(time.Millisecond); err != want {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
}

// A device that comes late is noticed at once, not when the time is up.
func TestAwaitSeesADeviceAppear(t *testing.T) {
	d := disk{device: filepath.Join(t.TempDir(), "late")}
	result := make(chan error)
	go func() { result <- d.await(time.Hour) }()
	time.Sleep(10 * time.Millisecond)
	// Making a block device takes more rights than a test has; what is not
	// one is noticed all the same.
	if err := os.WriteFile(d.device, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-result:
		if err != unix.ENOTBLK {
			t.Errorf("await returned %v, want %v", err, unix.ENOTBLK)
		}
	case <-time.After(10 * time.Second):
		t.Error("await has not noticed what appeared")
	}
}

func TestDiskTypes(t *testing.T) {
	const text = "nodev\tsysfs\nnodev\ttmpfs\n\text3\n\text2\n\text4\n\tvfat\nnodev\toverlay\n"
	if got, want := diskTypes(text), []string{"ext4", "ext3", "ext2", "vfat"}; !slices.Equal(got, want) {
		t.Errorf("diskTypes = %q, want %q", got, want)
	}
}

func TestEmpty(t *testing.T) {
	dir := t.TempDir()
	for _, file := range []string{"bin/bb", "mnt/disk/file", "init"} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := empty(dir, dir+"/mnt"); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || entries[0].Name() != "mnt" {
		t.Errorf("%v, %v are left, want mnt alone", entries, err)
	}
	if !exists(dir + "/mnt/disk/file") {
		t.Error("what was to be kept is not there as it was")
	}
}
