package qcow2

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What QEMU's tools make and say is what this package is tested against.

// A missing says that a test was skipped for want of a facility of the host.
type missing struct{ facility, why string }

func (m missing) String() string {
	return fmt.Sprintf("SKIPPED: %s is missing: %s", m.facility, m.why)
}

// qemu runs qemu-img or qemu-io and returns what it says. It skips the test
// where the tool is missing, or fails it if MICROVM_NOSKIP is 1.
func qemu(t testing.TB, tool string, args ...string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		m := missing{tool, "install Debian's qemu-utils"}
		if os.Getenv("MICROVM_NOSKIP") == "1" {
			t.Fatal(m)
		}
		t.Skip(m)
	}
	out, err := exec.Command(path, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func qemuIO(t testing.TB, image string, commands ...string) {
	t.Helper()
	args := []string{image}
	for _, c := range commands {
		args = append(args, "-c", c)
	}
	if out := qemu(t, "qemu-io", args...); strings.Contains(out, "rror") || strings.Contains(out, "failed") {
		t.Fatalf("qemu-io %s: %s", image, out)
	}
}

// contents is a disk of n bytes: random, compressible and zero stretches, whose
// borders are not at clusters.
func contents(seed uint64, n int) []byte {
	r := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for at := 0; at < n; {
		end := min(n, at+1+r.IntN(300_000))
		switch r.IntN(3) {
		case 0:
			for i := at; i < end; i++ {
				b[i] = byte(r.Uint32())
			}
		case 1:
			text := fmt.Sprintf("line %d of the disk\n", at)
			for i := at; i < end; i++ {
				b[i] = text[i%len(text)]
			}
		}
		at = end
	}
	return b
}

func writeFile(t testing.TB, path string, b []byte) string {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// convert makes an image of those contents, with options of "qemu-img convert".
func convert(t testing.TB, disk []byte, options ...string) string {
	t.Helper()
	dir := t.TempDir()
	raw := writeFile(t, filepath.Join(dir, "raw"), disk)
	image := filepath.Join(dir, "image.qcow2")
	qemu(t, "qemu-img", append(append([]string{"convert", "-f", "raw", "-O", "qcow2"}, options...), raw, image)...)
	return image
}

func mustOpen(t testing.TB, path string) *Image {
	t.Helper()
	i, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Error(err)
		}
	})
	return i
}
