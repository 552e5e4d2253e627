package initramfs

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/u-root/u-root/pkg/cpio"
	"golang.org/x/sys/unix"
)

// must stops the test at the first error.
func must(t *testing.T, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRoot(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/etc/passwd", "nobody")
	write(t, root+"/empty", "")
	must(t,
		os.Chmod(root+"/etc/passwd", 0o4711|os.ModeSetuid),
		os.Symlink("../etc/passwd", root+"/etc/link"),
		os.Symlink("/no/such/file", root+"/dangling"),
		os.Mkdir(root+"/tmp", 0),
		os.Chmod(root+"/tmp", 0o700|os.ModeSticky),
		unix.Mkfifo(root+"/fifo", 0o600),
	)
	o := Options{Minimal: true, Root: root}
	archive := build(t, o)
	must(t, os.Chtimes(root+"/etc/passwd", time.Time{}, time.Unix(1, 0)))
	if again := build(t, o); !bytes.Equal(archive, again) {
		t.Error("the same contents made different bytes")
	}
	_, records := unpack(t, archive)
	for name, want := range map[string]struct {
		mode    uint64
		content string
	}{
		"etc/passwd": {cpio.S_IFREG | 0o4711, "nobody"},
		"empty":      {cpio.S_IFREG | 0o644, ""},
		"etc/link":   {cpio.S_IFLNK | 0o777, "../etc/passwd"},
		"dangling":   {cpio.S_IFLNK | 0o777, "/no/such/file"},
		"tmp":        {cpio.S_IFDIR | 0o1700, ""}, // not the 1777 that it has by default
		"fifo":       {cpio.S_IFIFO | 0o600, ""},
		"proc":       {cpio.S_IFDIR | 0o755, ""}, // the directory has none
	} {
		r, found := records[name]
		if !found || r.Mode != want.mode || content(t, r) != want.content {
			t.Errorf("%s: mode %#o, content %q, want %#o, %q", name, r.Mode, content(t, r), want.mode, want.content)
		}
		if found && (r.MTime != 0 || r.UID != uint64(os.Geteuid()) && name != "proc") {
			t.Errorf("%s: time %d, owner %d", name, r.MTime, r.UID)
		}
	}
}

func TestRootOwners(t *testing.T) {
	r, err := record("/etc", "etc", &unix.Statx_t{Mode: unix.S_IFDIR | 0o750, Uid: 1234, Gid: 5678})
	if err != nil || r.UID != 1234 || r.GID != 5678 || r.Mode != cpio.S_IFDIR|0o750 {
		t.Errorf("record = %+v, %v, want owner 1234:5678", r.Info, err)
	}
}

// Every /dev has devices and a mount.
func TestRootDevicesAndMounts(t *testing.T) {
	a := newArchive()
	must(t, a.addTree("/dev"))
	if r := a.records["null"]; r.Mode != cpio.S_IFCHR|0o666 || r.Rmajor != 1 || r.Rminor != 3 {
		t.Errorf("null is device %d:%d with mode %#o, want 1:3", r.Rmajor, r.Rminor, r.Mode)
	}
	if r := a.records["pts"]; r.Mode&cpio.S_IFMT != cpio.S_IFDIR {
		t.Errorf("the mount point pts has mode %#o, want a directory", r.Mode)
	}
	if _, found := a.records["pts/ptmx"]; found {
		t.Error("a file of another mount is there")
	}
}

// The export of a container has a file there.
func TestRootConsole(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/dev/console", "")
	_, records := unpack(t, build(t, Options{Minimal: true, Root: root}))
	if r := records["dev/console"]; r.Mode != cpio.S_IFCHR|0o600 {
		t.Errorf("the console has mode %#o, want the device that process 1 needs", r.Mode)
	}
}

// Names of one file have one inode number, and the last brings the contents:
// that is how the kernel knows.
func TestRootHardLinks(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/b", "text")
	write(t, root+"/other", "text")
	must(t, os.Link(root+"/b", root+"/a"), os.Link(root+"/b", root+"/c"), os.Link(root+"/other", root+"/init"))
	_, records := unpack(t, build(t, Options{Minimal: true, Root: root}))
	ino := records["a"].Ino
	for name, want := range map[string]string{"a": "", "b": "", "c": "text"} {
		if r := records[name]; r.Ino != ino || r.NLink != 3 || content(t, r) != want {
			t.Errorf("%s: inode %d, %d links, %q, want %d, 3, %q", name, r.Ino, r.NLink, content(t, r), ino, want)
		}
	}
	// The other name of it is init, which is ours.
	if r := records["other"]; r.NLink != 1 || content(t, r) != "text" {
		t.Errorf("other: %d links, %q, want one with its text", r.NLink, content(t, r))
	}
	if r := records["init"]; r.NLink != 1 || !strings.HasPrefix(content(t, r), "\x7fELF") {
		t.Error("init is not process 1")
	}
	var inodes []uint64
	for _, r := range records {
		inodes = append(inodes, r.Ino)
	}
	slices.Sort(inodes)
	if got, want := len(slices.Compact(inodes)), len(records)-2; got != want {
		t.Errorf("%d inode numbers for %d files", got, want)
	}
}

// A system whose /bin is a link gets the commands where it leads.
func TestRootWithLinkedDirectories(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/usr/bin/sh", "its own")
	must(t, os.Symlink("usr/bin", root+"/bin"), os.Symlink("/usr/lib", root+"/lib"), os.Symlink("loop", root+"/loop"))
	kernel := fakeKernel(t, "6.1-one", map[string]string{"a": ""})
	extra := filepath.Join(t.TempDir(), "extra")
	write(t, extra, "extra")
	_, records := unpack(t, build(t, Options{
		Root: root, Commands: []string{"poweroff"}, ModuleDirs: []string{kernel}, Modules: []string{"a"},
		Files: []File{{extra, "/bin/extra"}, {extra, "/loop/x"}},
	}))
	for name, want := range map[string]string{
		"bin": "usr/bin", "lib": "/usr/lib", "usr/bin/sh": "its own", "usr/bin/poweroff": "/init",
		"usr/lib/modules/6.1-one/kernel/a.ko": "module a", "usr/bin/extra": "extra",
	} {
		if r, found := records[name]; !found || content(t, r) != want {
			t.Errorf("%s = %q, want %q", name, content(t, r), want)
		}
	}
	if r := records["usr/lib"]; r.Mode&cpio.S_IFMT != cpio.S_IFDIR {
		t.Error("the directory that /lib leads to is missing")
	}
}

func TestRootRefusals(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/file", "")
	write(t, dir+"/root/large", "")
	write(t, dir+"/trailer/TRAILER!!!", "")
	must(t, os.Truncate(dir+"/root/large", maxFileSize+1), os.Symlink(".", dir+"/self"))
	for _, tt := range []struct {
		name string
		Options
		want []string
	}{
		{"missing", Options{Output: dir + "/x", Root: dir + "/none"}, []string{"root directory", dir + "/none", "no such file"}},
		{"a file", Options{Output: dir + "/x", Root: dir + "/file"}, []string{dir + "/file is not a directory"}},
		{"a large file", Options{Output: dir + "/x", Root: dir + "/root"}, []string{dir + "/root/large has 4294967296 bytes", "at most 4294967295"}},
		{"a name that ends archives", Options{Output: dir + "/x", Root: dir + "/trailer"}, []string{"TRAILER!!!: this name ends an archive"}},
		{"output in it", Options{Output: dir + "/root/x", Root: dir + "/root"}, []string{"a part of itself"}},
		{"output in it, by a link", Options{Output: dir + "/self/root/x", Root: dir + "/root"}, []string{"a part of itself"}},
		{"all at once", Options{Output: dir + "/x", Root: dir + "/none", ModuleDirs: []string{dir}}, []string{dir + "/none", "apt install"}},
	} {
		tt.Minimal = true
		_, err := Build(context.Background(), tt.Options)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q in it", tt.name, err, want)
			}
		}
	}
	if _, err := os.Stat(dir + "/x"); !os.IsNotExist(err) {
		t.Errorf("a refused build left an archive (%v)", err)
	}
}

func TestRootWithoutPermission(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/secret", "")
	must(t, os.Chmod(dir+"/a/secret", 0), os.MkdirAll(dir+"/b/closed", 0o755), os.Chmod(dir+"/b/closed", 0))
	must(t, os.Chmod(filepath.Dir(dir), 0o755)) // for who may be nobody
	for root, want := range map[string]string{"/a": "/a/secret: permission denied; its owner or root", "/b": "/b/closed: permission denied; its owner or root"} {
		built := make(chan error)
		go func() {
			// Root may read every file, but not on a thread that is nobody's.
			runtime.LockOSThread() // for ever: the thread ends with the goroutine
			err := unix.Setfsuid(65534)
			if err == nil || os.Geteuid() != 0 {
				_, err = Build(t.Context(), Options{Minimal: true, Root: dir + root, Output: dir + "/x"})
			}
			built <- err
		}()
		if err := <-built; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q in it", err, want)
		}
	}
}

// A file that changes its size while the archive is written spoils no archive.
func TestRootFileThatShrinks(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/file", "some text")
	a := newArchive()
	must(t, a.addTree(root), os.Truncate(root+"/file", 3))
	if _, err := writeAtomically(filepath.Join(t.TempDir(), "x"), a.write); err == nil || !strings.Contains(err.Error(), "file") {
		t.Errorf("error %v, want one that names the file", err)
	}
}

// The archive of the root follows that of init, and has nothing in it that init
// needs otherwise.
func TestExtend(t *testing.T) {
	dir := t.TempDir()
	base, root, output := dir+"/base", dir+"/root", dir+"/output"
	write(t, base, "12345")
	write(t, root+"/init", "its own")
	write(t, root+"/dev/console", "")
	write(t, root+"/bin/program", "text")
	must(t, Extend(base, root, output))
	archive, err := os.ReadFile(output)
	must(t, err)
	after, found := bytes.CutPrefix(archive, []byte("12345\x00\x00\x00"))
	if !found {
		t.Fatalf("the archive begins with %q", archive[:8])
	}
	names, records := unpack(t, after)
	if want := []string{"bin", "bin/program", "dev"}; !slices.Equal(names, want) || content(t, records["bin/program"]) != "text" {
		t.Errorf("the second archive has %q, want %q", names, want)
	}
	if err := Extend(base, dir+"/none", dir+"/other"); err == nil || !strings.Contains(err.Error(), "root directory: ") {
		t.Errorf("error %v, want one about the root directory", err)
	}
}

func TestBuildPayload(t *testing.T) {
	dir := t.TempDir()
	must(t, BuildPayload(t.Context(), "", dir+"/payload"))
	binary, err := os.ReadFile(dir + "/payload")
	must(t, err)
	if !strings.HasPrefix(string(binary), "\x7fELF\x02") || bytes.Contains(binary, []byte("/lib64/ld-linux")) {
		t.Error("the payload is not a static 64-bit ELF")
	}
	if err := BuildPayload(t.Context(), dir, dir+"/other"); err == nil || !strings.Contains(err.Error(), "source tree") {
		t.Errorf("error %v, want one about the source tree", err)
	}
}
