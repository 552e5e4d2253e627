package boot

import (
	"bytes"
	"strings"
	"testing"
)

// What WriteELF writes is a kernel that can be entered like the image itself,
// whether it comes from the cache or not.
func TestWriteELF(t *testing.T) {
	dir := cacheDir(t)
	for name, image := range map[string][]byte{"bzImage": tinyKernel(t), "vmlinux": linuxELF().image(t)} {
		for _, cache := range []string{"", dir, dir} {
			var b bytes.Buffer
			if err := settled(t, file(t, image)).WriteELF(&b, cache); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			mem := ram(t, 16*mib)
			l := load(t, mem, Config{Kernel: open(t, b.Bytes()), Entry: EntryPVH})
			if l.Regs.RIP != 4*mib+0x20 {
				t.Errorf("%s: entry at %#x", name, l.Regs.RIP)
			}
			wantELF(t, mem, linuxELF())
		}
	}
	var b bytes.Buffer
	if err := open(t, linuxELF32().image(t)).WriteELF(&b, ""); err == nil || !strings.Contains(err.Error(), "CONFIG_PVH") {
		t.Errorf("without PVH entry: error %v", err)
	}
}

func TestRelease(t *testing.T) {
	for _, image := range [][]byte{tinyKernel(t), linuxELF().image(t)} {
		if got := open(t, image).Release(); got != "6.1.0-tiny" {
			t.Errorf("release %q", got)
		}
	}
}
