package vmm_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"

	"microvm/vmm"
)

// A test of what a program in the guest sees has two halves in one function. The
// host's half starts a guest whose payload is this test binary, told to run the
// same test; there inGuest is true.
//
//	func TestX(t *testing.T) {
//		if inGuest() {
//			… // in the guest: a failure is the guest's exit status
//			return
//		}
//		newGuestHalf(t).run(t).wants(t, vmm.EndPoweredOff, 0)
//	}

// guestBinary is the path of the test binary in the guest.
const guestBinary = "/guest.test"

// inGuest reports whether this is the guest's half of a test.
func inGuest() bool { return os.Args[0] == guestBinary }

// newGuestHalf returns a guest that runs the guest's half of the test t.
func newGuestHalf(t *testing.T) *guest {
	t.Helper()
	g := newGuest(t, "")
	g.Initrd = withTestBinary(t, g.Initrd)
	g.Cmdline += " -- " + guestBinary + " -test.v -test.run ^" + strings.ReplaceAll(t.Name(), "/", "$/^") + "$"
	return g
}

// withTestBinary returns the path of an initramfs that is the one at initrd with
// this test binary added. The kernel unpacks archives that follow one another
// (Linux Documentation/driver-api/early-userspace/buffer-format).
func withTestBinary(t *testing.T, initrd string) string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "initrd")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	in, err := os.Open(initrd)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	size, err := io.Copy(out, in)
	if err != nil {
		t.Fatal(err)
	}
	// Each archive begins at a multiple of 4 bytes; zeros may be between.
	if _, err := out.Write(make([]byte, -size&3)); err != nil {
		t.Fatal(err)
	}
	archive := cpio.Newc.Writer(out)
	if err := archive.WriteRecord(cpio.StaticFile(strings.TrimPrefix(guestBinary, "/"), string(program), 0o755)); err != nil {
		t.Fatal(err)
	}
	if err := cpio.WriteTrailer(archive); err != nil {
		t.Fatal(err)
	}
	return path
}

// The guest's half runs in the guest, and its failure is seen by the host's.
func TestGuestHalf(t *testing.T) {
	for _, name := range []string{"passes", "fails"} {
		t.Run(name, func(t *testing.T) {
			if inGuest() {
				if os.Getpid() == 1 {
					t.Error("the test is process 1")
				}
				if name == "fails" {
					t.Error("as it should")
				}
				return
			}
			g := newGuestHalf(t).run(t)
			if name == "passes" {
				g.wants(t, vmm.EndPoweredOff, 0)
			} else {
				g.wants(t, vmm.EndPoweredOff, 1)
			}
			if !strings.Contains(g.console.text(), "=== RUN   "+t.Name()) {
				t.Errorf("the guest did not run the test:\n%s", g.console.text())
			}
		})
	}
}
