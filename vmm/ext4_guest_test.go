package vmm_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"microvm/vmm"
	"microvm/vmm/disk"
)

// An ext4 that the guest makes and fills is right to the host, and one that the
// host makes and fills is right to the guest, which leaves it so.
func TestExt4(t *testing.T) {
	const size = 96 * vmm.MiB
	if inGuest() {
		mountDebian(t)
		debian(t, "mke2fs", "-q", "-t", "ext4", device(1))
		onDisk(t, device(1), func(dir string) { writeFiles(t, dir, "guest") })
		onDisk(t, device(2), func(dir string) { checkFiles(t, dir, "host") })
		return
	}
	g := newGuestHalf(t).withDebian(t)
	g.CPUs = 2
	guests := g.addDisk(t, size, disk.Options{})
	hosts := g.addDisk(t, size, disk.Options{})
	tree := t.TempDir()
	writeFiles(t, tree, "host")
	host(t, "mke2fs", "-q", "-t", "ext4", "-d", tree, hosts)

	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	for _, image := range []string{guests, hosts} {
		host(t, "e2fsck", "-fn", image)
	}
	copied := t.TempDir()
	host(t, "debugfs", "-R", "rdump / "+copied, guests)
	checkFiles(t, copied, "guest")
}

// files are contents by name, made of a seed, of sizes from nothing to a few
// hundred kilobytes.
func files(seed string) map[string][]byte {
	source := rand.NewChaCha8([32]byte([]byte(fmt.Sprintf("%32s", seed))))
	sizes := rand.New(source)
	contents := map[string][]byte{"empty": {}}
	for i := range 100 {
		b := make([]byte, sizes.IntN(300*vmm.KiB))
		source.Read(b)
		contents[fmt.Sprintf("file%d", i)] = b
	}
	return contents
}

func writeFiles(t *testing.T, dir, seed string) {
	t.Helper()
	for name, b := range files(seed) {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func checkFiles(t *testing.T, dir, seed string) {
	t.Helper()
	for name, want := range files(seed) {
		if got, err := os.ReadFile(filepath.Join(dir, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes that differ from the %d written, %v", name, len(got), len(want), err)
		}
	}
}
