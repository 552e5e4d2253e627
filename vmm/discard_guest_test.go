package vmm_test

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// A disk takes the space on the host that its contents need: it stays sparse when
// a file system is made and filled, and shrinks when the guest says what it no
// longer needs.
func TestDiscard(t *testing.T) {
	const size, data = 256 * vmm.MiB, 32 * vmm.MiB
	engines := []disk.EngineKind{disk.EngineRing, disk.EnginePool}
	if inGuest() {
		mountDebian(t)
		for i := range engines {
			place := 1 + 3*i
			kept, trimmed, discarded := device(place), device(place+1), device(place+2)
			for _, d := range []string{kept, trimmed} {
				debian(t, "mke2fs", "-q", "-t", "ext4", d)
				onDisk(t, d, func(dir string) { writeNoise(t, filepath.Join(dir, "data"), data) })
			}
			onDisk(t, trimmed, func(dir string) {
				if err := os.Remove(filepath.Join(dir, "data")); err != nil {
					t.Error(err)
				}
				unix.Sync() // else ext4 does not count the file's blocks as free yet
				debian(t, "fstrim", "/mnt")
			})
			writeNoise(t, discarded, data)
			debian(t, "blkdiscard", "--force", discarded)
		}
		return
	}
	g := newGuestHalf(t).withDebian(t)
	type images struct{ kept, trimmed, discarded string }
	var all []images
	for _, e := range engines {
		o := disk.Options{Engine: e}
		all = append(all, images{g.addDisk(t, size, o), g.addDisk(t, size, o), g.addDisk(t, size, o)})
	}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	const tables = 16 * vmm.MiB // the file system's own, its journal for the most part
	for i, image := range all {
		kept, trimmed, discarded := allocated(t, image.kept), allocated(t, image.trimmed), allocated(t, image.discarded)
		t.Logf("%s: %d KiB with data, %d trimmed, %d discarded", engines[i], kept/vmm.KiB, trimmed/vmm.KiB, discarded/vmm.KiB)
		if kept < data || kept > data+tables {
			t.Errorf("%s: %d bytes are allocated for %d and a file system", engines[i], kept, data)
		}
		if trimmed > kept-data {
			t.Errorf("%s: fstrim has left %d bytes of %d", engines[i], trimmed, kept)
		}
		if discarded != 0 {
			t.Errorf("%s: blkdiscard has left %d bytes", engines[i], discarded)
		}
		host(t, "e2fsck", "-fn", image.trimmed)
	}
}

// noise is n bytes, none of them zero and no two blocks of them the same.
func noise(n int) []byte {
	var b []byte
	for len(b) < n {
		b = fmt.Appendf(b, "%4096d", len(b))
	}
	return b
}

// writeNoise writes n bytes of noise to a file or a disk, and has them made
// durable.
func writeNoise(t *testing.T, path string, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write(noise(n)); err != nil {
		t.Fatal(err)
	}
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
}

// allocated is how many bytes the host's file system has given to a file.
func allocated(t *testing.T, path string) int64 {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	const unit = 512 // of st_blocks, whatever the file system's blocks are (stat(2))
	return info.Sys().(*syscall.Stat_t).Blocks * unit
}
