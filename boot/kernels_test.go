package boot

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microvm/kvm/guestmem"
)

// kernelsVar names the environment variable with further kernels for these
// tests: a list of glob patterns, separated by colons.
const kernelsVar = "MICROVM_KERNELS"

// realKernels returns the bzImages that are installed here.
func realKernels(t *testing.T) (paths []string) {
	t.Helper()
	for _, pattern := range append([]string{"/boot/vmlinuz-*"}, filepath.SplitList(os.Getenv(kernelsVar))...) {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, found...)
	}
	if len(paths) == 0 {
		const msg = "no kernel in /boot: apt-get install linux-image-cloud-amd64 linux-image-amd64"
		if os.Getenv("MICROVM_NOSKIP") == "1" {
			t.Fatal(msg)
		}
		t.Skip("SKIP: missing facility: " + msg)
	}
	return paths
}

// Distributions' kernels can be entered by all that their header promises, and
// the cache gives what decompressing gives.
func TestRealKernels(t *testing.T) {
	dir := cacheDir(t)
	for _, path := range realKernels(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			k := openPath(t, path)
			if !strings.Contains(path, strings.Fields(k.Version() + " -")[0]) {
				t.Errorf("version %q", k.Version())
			}
			plain, warm := lazyRAM(t, []guestmem.Range{{Start: 0, Size: 256 * mib}}), lazyRAM(t, []guestmem.Range{{Start: 0, Size: 256 * mib}})
			started := time.Now()
			l := load(t, plain, Config{Kernel: k})
			t.Logf("decompressed and copied in %v: %v", time.Since(started), l.Phases)
			started = time.Now()
			load(t, lazyRAM(t, plain.Ranges()), Config{Kernel: k, CacheDir: dir})
			t.Logf("decompressed, cached and mapped in %v", time.Since(started))
			started = time.Now()
			w := load(t, warm, Config{Kernel: k, CacheDir: dir})
			t.Logf("from the cache in %v: %v", time.Since(started), w.Phases)
			if !w.CacheHit || w.CacheErr != nil || w.Entry != l.Entry || w.Regs != l.Regs || l.Entry != EntryELF {
				t.Errorf("from the cache: %+v; decompressed: %+v", w, l)
			}
			sameMemory(t, plain, warm, l.Kernel)
			for _, e := range k.entries(k.elf) { // those that need no decompressing
				mem := lazyRAM(t, []guestmem.Range{{Start: 0, Size: 256 * mib}})
				if l := load(t, mem, Config{Kernel: k, Entry: e, CacheDir: dir}); l.Entry != e {
					t.Errorf("entry %s for %s", l.Entry, e)
				}
			}
			needed := uint64(w.Kernel[len(w.Kernel)-1].End())
			load(t, lazyRAM(t, []guestmem.Range{{Start: 0, Size: needed}}), Config{Kernel: k, CacheDir: dir})
			_, err := Load(lazyRAM(t, []guestmem.Range{{Start: 0, Size: needed - pageSize}}), Config{Kernel: k, CacheDir: dir})
			if err == nil || !strings.Contains(err.Error(), "needs memory up to") {
				t.Errorf("with a page less than the %d bytes that it needs: %v", needed, err)
			}
		})
	}
}

// sameMemory compares what was put at each of the places.
func sameMemory(t *testing.T, a, b *guestmem.Memory, places []Placement) {
	t.Helper()
	for _, p := range places {
		x, err := a.Slice(p.Start, p.Size)
		if err != nil {
			t.Fatal(err)
		}
		y, err := b.Slice(p.Start, p.Size)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(x, y) {
			t.Errorf("memory at %v differs", p.Range)
		}
	}
}
