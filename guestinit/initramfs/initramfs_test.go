package initramfs

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

// fakeKernel makes a module directory with these modules: name -> those that
// it needs.
func fakeKernel(t *testing.T, release string, modules map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), release)
	var index strings.Builder
	for name, deps := range modules {
		write(t, filepath.Join(dir, "kernel", name+".ko"), "module "+name)
		fmt.Fprintf(&index, "kernel/%s.ko:", name)
		for dep := range strings.FieldsSeq(deps) {
			fmt.Fprintf(&index, " kernel/%s.ko", dep)
		}
		fmt.Fprintln(&index)
	}
	write(t, filepath.Join(dir, "modules.dep"), index.String())
	write(t, filepath.Join(dir, "modules.builtin"), "kernel/ext4.ko\n")
	return dir
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// unpack returns the archive's records by name, in their order.
func unpack(t *testing.T, archive []byte) (names []string, records map[string]cpio.Record) {
	t.Helper()
	records = map[string]cpio.Record{}
	r := cpio.EOFReader{RecordReader: cpio.Newc.Reader(bytes.NewReader(archive))}
	for {
		record, err := r.ReadRecord()
		if err == io.EOF {
			return names, records
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, record.Name)
		records[record.Name] = record
	}
}

func content(t *testing.T, r cpio.Record) string {
	t.Helper()
	text, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func build(t *testing.T, o Options) []byte {
	t.Helper()
	o.Output = filepath.Join(t.TempDir(), "init.cpio")
	result, err := Build(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	archive, err := os.ReadFile(o.Output)
	if err != nil {
		t.Fatal(err)
	}
	if result.Size != int64(len(archive)) {
		t.Errorf("Size = %d, but the archive has %d bytes", result.Size, len(archive))
	}
	return archive
}

func TestMinimal(t *testing.T) {
	archive := build(t, Options{Minimal: true})
	if again := build(t, Options{Minimal: true}); !bytes.Equal(archive, again) {
		t.Error("the same contents made different bytes")
	}
	names, records := unpack(t, archive)
	if !slices.IsSorted(names) {
		t.Errorf("names are not sorted: %q", names)
	}
	want := []string{"bin", "dev", "dev/console", "dev/null", "etc", "init", "mnt", "proc", "root", "run", "sbin", "sys", "tmp"}
	if !slices.Equal(names, want) {
		t.Errorf("names = %q, want %q", names, want)
	}
	inodes := map[uint64]bool{}
	for name, r := range records {
		if r.MTime != 0 || r.UID != 0 || r.GID != 0 {
			t.Errorf("%s: time %d, owner %d:%d, want all 0", name, r.MTime, r.UID, r.GID)
		}
		if inodes[r.Ino] {
			t.Errorf("%s: inode %d is another's: the kernel would take them for links", name, r.Ino)
		}
		inodes[r.Ino] = true
	}
	if r := records["init"]; r.Mode != cpio.S_IFREG|0o755 || !strings.HasPrefix(content(t, r), "\x7fELF\x02") {
		t.Errorf("init has mode %#o, and is not a 64-bit ELF", r.Mode)
	}
	// The kernel copies it at every start; a new import is noticed here.
	const most = 2 << 20
	if size := records["init"].FileSize; size > most {
		t.Errorf("init has %d bytes, more than %d", size, most)
	}
}

func TestArch386(t *testing.T) {
	_, records := unpack(t, build(t, Options{Minimal: true, Arch: "386"}))
	if !strings.HasPrefix(content(t, records["init"]), "\x7fELF\x01") {
		t.Error("init is not a 32-bit ELF")
	}
}

func TestModulesOfSeveralKernels(t *testing.T) {
	one := fakeKernel(t, "6.1-one", map[string]string{"a": "b c", "b": "c", "c": "", "unused": ""})
	two := fakeKernel(t, "6.2-two", map[string]string{"a": ""})
	_, records := unpack(t, build(t, Options{Minimal: true, ModuleDirs: []string{one, two}, Modules: []string{"a", "ext4"}}))
	for name, want := range map[string]string{
		"lib/modules/6.1-one/modules.load":    "kernel/c.ko\nkernel/b.ko\nkernel/a.ko\n",
		"lib/modules/6.2-two/modules.load":    "kernel/a.ko\n",
		"lib/modules/6.1-one/modules.dep":     "kernel/c.ko:\nkernel/b.ko: kernel/c.ko\nkernel/a.ko: kernel/b.ko kernel/c.ko\n",
		"lib/modules/6.1-one/modules.builtin": "kernel/ext4.ko\n",
		"lib/modules/6.1-one/kernel/a.ko":     "module a",
	} {
		if got := content(t, records[name]); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, found := records["lib/modules/6.1-one/kernel/unused.ko"]; found {
		t.Error("a module that nobody asked for is there")
	}
}

// What only a root on a disk needs costs no other guest the time to load it.
func TestRootModulesAreAListOfTheirOwn(t *testing.T) {
	dir := fakeKernel(t, "6.1-one", map[string]string{
		"virtio_blk": "virtio", "virtio": "", "jbd2": "", "crc32c_generic": "", "ext4": "jbd2"})
	write(t, filepath.Join(dir, "modules.builtin"), "")
	_, records := unpack(t, build(t, Options{Commands: []string{"poweroff"}, ModuleDirs: []string{dir}}))
	for name, want := range map[string]string{
		"modules.load":   "kernel/virtio.ko\nkernel/virtio_blk.ko\n",
		"modules.root":   "kernel/crc32c_generic.ko\nkernel/jbd2.ko\nkernel/ext4.ko\n",
		"kernel/ext4.ko": "module ext4",
	} {
		if got := content(t, records["lib/modules/6.1-one/"+name]); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
}

func TestFiles(t *testing.T) {
	host := t.TempDir()
	write(t, filepath.Join(host, "tree/sub/file"), "text")
	if err := os.Symlink("file", filepath.Join(host, "tree/sub/link")); err != nil {
		t.Fatal(err)
	}
	_, records := unpack(t, build(t, Options{Minimal: true, Files: []File{
		{Host: filepath.Join(host, "tree"), Guest: "/opt/data"},
		{Host: filepath.Join(host, "tree/sub/link"), Guest: "/etc/one"},
	}}))
	if got := content(t, records["opt/data/sub/file"]); got != "text" {
		t.Errorf("file of a directory = %q", got)
	}
	if r := records["opt/data/sub/link"]; r.Mode&cpio.S_IFMT != cpio.S_IFLNK || content(t, r) != "file" {
		t.Errorf("link of a directory has mode %#o", r.Mode)
	}
	if r := records["etc/one"]; r.Mode != cpio.S_IFREG|0o644 || content(t, r) != "text" {
		t.Errorf("a link that is named itself has mode %#o; want the file that it leads to", r.Mode)
	}
	if r := records["opt"]; r.Mode&cpio.S_IFMT != cpio.S_IFDIR {
		t.Error("the directory above is missing: the kernel would drop the file")
	}
}

func TestFull(t *testing.T) {
	if testing.Short() {
		t.Skip("skipped by -short: builds u-root's commands twice")
	}
	o := Options{Commands: []string{"sh", "ls", "echo", "nproc"}}
	archive := build(t, o)
	if again := build(t, o); !bytes.Equal(archive, again) {
		t.Error("the same contents made different bytes")
	}
	_, records := unpack(t, archive)
	for link, want := range map[string]string{
		"bin/sh": "bb", "bin/ls": "bb", "bin/echo": "bb", "bin/poweroff": "/init", "bin/nproc": "/init",
	} {
		if r, found := records[link]; !found || content(t, r) != want {
			t.Errorf("%s does not lead to %s", link, want)
		}
	}
}

// All commands of process 1 are there even if no other is asked for.
func TestOwnCommandsAlone(t *testing.T) {
	_, records := unpack(t, build(t, Options{Commands: []string{"poweroff", "reboot"}}))
	for _, link := range []string{"bin/poweroff", "bin/reboot", "bin/halt"} {
		if r, found := records[link]; !found || content(t, r) != "/init" {
			t.Errorf("%s does not lead to /init", link)
		}
	}
	if _, found := records["bin/bb"]; found {
		t.Error("there are u-root's commands")
	}
}

// A larger file's size would be cut, and the archive behind it be garbage.
func TestFileTooLarge(t *testing.T) {
	name := filepath.Join(t.TempDir(), "large")
	write(t, name, "")
	if err := os.Truncate(name, maxFileSize+1); err != nil {
		t.Fatal(err)
	}
	err := newArchive().addHost(File{name, "/large"})
	if err == nil || !strings.Contains(err.Error(), "at most 4294967295") {
		t.Errorf("error %v, want one that says what the limit is", err)
	}
}

func TestRefusals(t *testing.T) {
	kernel := fakeKernel(t, "6.1-one", map[string]string{"virtio_net": ""})
	outside := t.TempDir()
	output := filepath.Join(outside, "init.cpio")
	suggest := func(word string, known []string) string {
		if i := slices.IndexFunc(known, func(k string) bool { return k[:1] == word[:1] }); i >= 0 {
			return known[i]
		}
		return ""
	}
	for _, tt := range []struct {
		name    string
		options Options
		want    []string // in the error
	}{
		{"no output", Options{Minimal: true}, []string{"no output file"}},
		{"commands", Options{Output: output, Commands: []string{"lx", "42"}}, []string{`no command "lx"`, "did you mean", `no command "42"`}},
		{"commands of a minimal one", Options{Output: output, Minimal: true, Commands: []string{"ls"}}, []string{"minimal"}},
		{"module", Options{Output: output, ModuleDirs: []string{kernel}, Modules: []string{"virtio_nat"}}, []string{"6.1-one", `"virtio_nat"`, `did you mean "virtio_net"`}},
		{"modules of no kernel", Options{Output: output, Modules: []string{"ext4"}}, []string{"no module directory"}},
		{"no kernel there", Options{Output: output, ModuleDirs: []string{outside}}, []string{outside, "apt install"}},
		{"architecture", Options{Output: output, Arch: "arm64"}, []string{`"arm64"`, "amd64, 386"}},
		{"file path", Options{Output: output, Files: []File{{"a", "b"}}}, []string{"absolute"}},
		{"several", Options{ModuleDirs: []string{outside}, Commands: []string{"lx"}}, []string{"no output", "apt install", `"lx"`}},
		{"no such file", Options{Output: output, Minimal: true, Files: []File{{outside + "/none", "/x"}}}, []string{outside + "/none"}},
		{"source tree", Options{Output: output, Minimal: true, SourceDir: outside}, []string{outside, "source tree"}},
		{"no directory", Options{Output: outside + "/none/init.cpio", Minimal: true}, []string{"cannot write", outside + "/none/init.cpio"}},
		{"output is a directory", Options{Output: outside, Minimal: true}, []string{"cannot write", outside}},
	} {
		tt.options.Suggest = suggest
		_, err := Build(context.Background(), tt.options)
		for _, want := range tt.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: error %v, want %q in it", tt.name, err, want)
			}
		}
	}
	if left, _ := os.ReadDir(outside); len(left) > 0 {
		t.Errorf("refused builds left %v", left)
	}
}

func TestNoGoToolchain(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := Build(context.Background(), Options{Output: filepath.Join(t.TempDir(), "x"), Minimal: true})
	if err == nil || !strings.Contains(err.Error(), "golang-go") {
		t.Errorf("error %v, want one that says where Go comes from", err)
	}
}

// What "go env -w" has set is not for the guest's programs.
func TestFlagsOfTheUser(t *testing.T) {
	settings := filepath.Join(t.TempDir(), "env")
	write(t, settings, "GOFLAGS=-mod=none-such\n")
	t.Setenv("GOENV", settings)
	build(t, Options{Minimal: true})
}

func TestAFailedBuildKeepsTheOldArchive(t *testing.T) {
	output := filepath.Join(t.TempDir(), "init.cpio")
	write(t, output, "old")
	o := Options{Output: output, Minimal: true, Files: []File{{"/no/such/file", "/x"}}}
	if _, err := Build(context.Background(), o); err == nil {
		t.Fatal("a missing file was accepted")
	}
	if text, err := os.ReadFile(output); err != nil || string(text) != "old" {
		t.Errorf("the old archive is now %q, %v", text, err)
	}
}

func TestParseFile(t *testing.T) {
	for text, want := range map[string]File{
		"data:/root/data": {"data", "/root/data"},
		"/etc/hosts":      {"/etc/hosts", "/etc/hosts"},
	} {
		if got, err := ParseFile(text); err != nil || got != want {
			t.Errorf("ParseFile(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "data", "data:relative", ":/x", "data:/", "data:"} {
		if got, err := ParseFile(text); err == nil {
			t.Errorf("ParseFile(%q) = %v, want an error", text, got)
		}
	}
}

func TestEveryCommandHasAPath(t *testing.T) {
	for set, commands := range CommandSets {
		for _, name := range commands {
			if commandPath(name) == "" {
				t.Errorf("set %s: no command %s", set, name)
			}
		}
	}
}
