package experiment

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/ldd"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

func TestReadFiles(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.Mkdir(in("sub"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("sub/file"), make([]byte, 10_000), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Link(in("sub/file"), in("twin")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("sub", in("link")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(in("hole"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(in("hole"), 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		paths  string
		length int64
	}{
		{"twin", 10_000},
		{"twin sub/file sub", 10_000}, // one file
		{"link", 10_000},              // is followed
		{"hole", 1 << 30},
		{".", 10_000 + 1<<30 + int64(len("sub"))}, // a link in it is not followed, and as long as its target's name
	} {
		var paths []string
		for _, p := range strings.Fields(tt.paths) {
			paths = append(paths, in(p))
		}
		files, err := readFiles(paths...)
		if err != nil || files.length() != tt.length {
			t.Errorf("%s: %d bytes, %v, want %d", tt.paths, files.length(), err, tt.length)
		}
		if got := files.allocated(); got > 1<<20 {
			t.Errorf("%s: %d bytes on disk, of which a hole takes none", tt.paths, got)
		}
	}
	if _, err := readFiles(in("none")); err == nil {
		t.Error("a file that is not there has a size")
	}
}

// What is mounted in a directory is not of it.
func TestReadFilesStaysOnItsFileSystem(t *testing.T) {
	const mounted = "/dev/shm" // in /dev, on any Linux
	f, err := os.CreateTemp(mounted, "vmm-test-")
	if err != nil {
		t.Skip(err)
	}
	f.Close()
	defer os.Remove(f.Name())
	id, _, err := stat(f.Name())
	if err != nil {
		t.Fatal(err)
	}
	for top, want := range map[string]bool{mounted: true, "/dev": false} {
		files, err := readFiles(top)
		if err != nil {
			t.Fatal(err)
		}
		if files.has(id) != want {
			t.Errorf("%s has a file of %s: %t, want %t", top, mounted, files.has(id), want)
		}
	}
}

func TestDisk(t *testing.T) {
	needStrace(t)
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "shell", Script: armtest.Begin + "case $* in *hold*) cat;; esac; " + armtest.End}, armtest.Fake{Named: "hanging", Script: armtest.Hang})
	s.Arms[0].Prepared = modal{s.Arms[0].Prepared.(armtest.Fake)}
	s.Effort.Patience = 3 * time.Second // for the real payload
	s.Distribution = filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(s.Distribution, make([]byte, 1<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	addNative(t, s)
	same := s.Arms[2]
	same.Arm = armtest.Fake{Named: "same", Is: arm.Process}
	s.Arms = append(s.Arms, same)
	if err := Disk.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(filepath.Join(s.Root, program))
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{DiskFiles, DiskFilesShared} {
		if got := n.only(t, "native", m, 0); got.Value != float64(info.Size()) {
			t.Errorf("%s is %g, want the payload's %d", m, got.Value, info.Size())
		}
	}
	if got := n.only(t, "native", DiskPrograms, 0); got.Value != 0 {
		t.Errorf("beside the payload a process has %g bytes of programs", got.Value)
	}
	if got := n.only(t, "native", DiskInstance, 0); got.Value != 0 {
		t.Errorf("a process takes %g bytes of disk", got.Value)
	}
	shell, err := os.Stat("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	libraries, err := ldd.FList("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	linked, err := readFiles(libraries...)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.only(t, "shell", DiskPrograms, 0); got.Value != float64(shell.Size()+linked.length()) {
		t.Errorf("a shell of %d bytes and its libraries of %d have %g", shell.Size(), linked.length(), got.Value)
	}
	if got := n.only(t, "shell", DiskProgramsNames, 0); !strings.Contains(got.Text, "/bin/sh") {
		t.Errorf("a shell's programs are %q", got.Text)
	}
	hanging := n.of("hanging", DiskPrograms)
	if len(hanging) != 1 || !strings.Contains(hanging[0].Failed, "took longer than 3s") {
		t.Errorf("an arm that hangs has %+v", hanging)
	}
	if got := n.only(t, DistributionArm, DiskDistribution, 0); got.Value < 1<<20 || got.Value > 2<<20 {
		t.Errorf("the distribution takes %g bytes", got.Value)
	}
	recorded := len(n.samples)
	if err := Disk.Run(t.Context(), s); err != nil || len(n.samples) != recorded {
		t.Errorf("a run that goes on after its end records %d samples, %v", len(n.samples)-recorded, err)
	}
	noneLeft(t)
}

// A secret is a fake of which it is not known what it starts from.
type secret struct{ armtest.Fake }

func (secret) Files() []string { return nil }

func TestFilesNotKnown(t *testing.T) {
	needStrace(t)
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "secret", Script: armtest.Hold})
	s.Arms[0].Prepared = secret{s.Arms[0].Prepared.(armtest.Fake)}
	if err := s.diskOf(t.Context(), s.Arms[0]); err != nil {
		t.Fatal(err)
	}
	for _, metric := range []string{DiskFiles, DiskInstance} {
		if got := n.of("secret", metric); len(got) != 1 || got[0].Failed != errNoFiles.Error() {
			t.Errorf("%s is %+v, want one that says %q", metric, got, errNoFiles)
		}
	}
	if err := s.chill(s.Arms[0]); err == nil || !strings.Contains(err.Error(), errNoFiles.Error()) {
		t.Errorf("it is made cold with %v", err)
	}
}

func TestBasePackages(t *testing.T) {
	const status = `Package: a
Status: install ok installed
Priority: required
Installed-Size: 10
Description: text
 Priority: optional

Package: b
Status: install ok installed
Priority: optional
Installed-Size: 100

Package: c
Status: deinstall ok config-files
Priority: important
Installed-Size: 1000

Package: d
Status: install ok installed
Priority: standard
Installed-Size: 5
`
	if size, err := basePackages(strings.NewReader(status)); size != 15<<10 || err != nil {
		t.Errorf("the base takes %d bytes, %v, want 15 KiB", size, err)
	}
	if _, err := basePackages(strings.NewReader("Package: a\nStatus: install ok installed\nPriority: required\n")); err == nil {
		t.Error("a package without a size has one")
	}
}
