package vmm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// Disks that cannot be had end the start before there is a guest, all of them in
// one error.
func TestDisksRefused(t *testing.T) {
	dir := t.TempDir()
	image := func(name string) vmm.Disk {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, make([]byte, 512), 0o600); err != nil {
			t.Fatal(err)
		}
		return vmm.Disk{Options: disk.Options{Path: path, Cache: disk.CacheWriteback, Engine: disk.EngineAuto}}
	}
	readOnly := func(d vmm.Disk) vmm.Disk { d.ReadOnly = true; return d }
	a, b := image("a"), image("b")
	missing := a
	missing.Path = filepath.Join(dir, "missing")
	other := missing
	other.Path = dir
	linked := a
	linked.Path = filepath.Join(dir, "link")
	if err := os.Symlink("a", linked.Path); err != nil {
		t.Fatal(err)
	}
	var many []vmm.Disk
	for i := range 18 {
		many = append(many, image(fmt.Sprintf("many%d", i)))
	}
	for _, tt := range []struct {
		name  string
		disks []vmm.Disk
		want  []string
	}{
		{"one file twice", []vmm.Disk{b, a, a}, []string{"is disk 1 and disk 2 of this machine"}},
		{"one file by two names", []vmm.Disk{readOnly(a), linked}, []string{"is disk 0 and disk 1 of this machine"}},
		{"two of three", []vmm.Disk{missing, a, other}, []string{missing.Path + ": no such file", dir + ": is a directory"}},
		{"too many", many, []string{"at most 17 virtio devices"}},
		{"one file twice, only read", []vmm.Disk{readOnly(a), readOnly(linked)}, []string{"no such kernel"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := vmm.New(vmm.Config{Kernel: "no such kernel", Memory: vmm.DefaultMemory, CPUs: 1, Disks: tt.disks})
			if err == nil {
				m.Close()
				t.Fatal("no error")
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v; want %q", err, want)
				}
			}
			// The machine that could not be has let go of its disks.
			d, err := disk.Open(b.Options)
			if err != nil {
				t.Fatal(err)
			}
			d.Close()
		})
	}
}
