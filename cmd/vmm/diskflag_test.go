package main

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// Disks from the command line come with all their options; in a configuration
// file, paths count from its directory.
func TestDiskFlag(t *testing.T) {
	set := func(args ...string) []vmm.Disk {
		t.Helper()
		f, o := newFlags(), newBootOptions()
		o.declare(f)
		if _, err := f.parse(append([]string{"--kernel", "x"}, args...)); err != nil {
			t.Fatal(err)
		}
		c, err := o.config(f, nil)
		if err != nil {
			t.Fatal(err)
		}
		return c.Disks
	}
	path := filepath.Join(t.TempDir(), "boot.toml")
	if err := os.WriteFile(path, []byte(`disk = ["a.img,ro", "path=/b.img"]`), 0o600); err != nil {
		t.Fatal(err)
	}
	plain := disk.Options{Cache: disk.CacheWriteback, Engine: disk.EngineAuto}
	with := func(path string, change func(o *disk.Options)) disk.Options {
		o := plain
		o.Path = path
		change(&o)
		return o
	}
	for _, tt := range []struct {
		got  []vmm.Disk
		want []vmm.Disk
	}{
		{set("--disk", "a.img"), []vmm.Disk{{Options: with("a.img", func(*disk.Options) {})}}},
		{set("--disk", "path=a,,b,ro,id=root,format=raw,cache=none,engine=pool"), []vmm.Disk{{ID: "root", Options: with("a,b", func(o *disk.Options) {
			o.ReadOnly, o.Format, o.Cache, o.Engine = true, disk.FormatRaw, disk.CacheNone, disk.EnginePool
		})}}},
		{set("--disk", "a,format=qcow2,overlay=tmp", "--disk", "b"), []vmm.Disk{
			{Options: with("a", func(o *disk.Options) { o.Format, o.Overlay = disk.FormatQCOW2, true })},
			{Options: with("b", func(*disk.Options) {})},
		}},
		{set("--config", path), []vmm.Disk{
			{Options: with(filepath.Join(filepath.Dir(path), "a.img"), func(o *disk.Options) { o.ReadOnly = true })},
			{Options: with("/b.img", func(*disk.Options) {})},
		}},
	} {
		if !reflect.DeepEqual(tt.got, tt.want) {
			t.Errorf("disks are %+v, want %+v", tt.got, tt.want)
		}
	}
}
