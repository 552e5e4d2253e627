package modules

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const dependencies = `kernel/drivers/virtio/virtio_ring.ko.xz:
kernel/drivers/virtio/virtio.ko.xz: kernel/drivers/virtio/virtio_ring.ko.xz
kernel/drivers/net/virtio_net.ko: kernel/net/core/net-failover.ko kernel/drivers/virtio/virtio.ko.xz kernel/drivers/virtio/virtio_ring.ko.xz
kernel/net/core/net-failover.ko: kernel/net/core/failover.ko
kernel/net/core/failover.ko:
kernel/odd/chicken.ko: kernel/odd/egg.ko
kernel/odd/egg.ko: kernel/odd/chicken.ko
kernel/odd/orphan.ko: kernel/odd/gone.ko
`

const builtin = "kernel/drivers/char/virtio-console.ko\nkernel/fs/ext4/ext4.ko\n"

func read(t *testing.T) *Index {
	t.Helper()
	x, err := Read(strings.NewReader(dependencies), strings.NewReader(builtin))
	if err != nil {
		t.Fatal(err)
	}
	x.Release = "6.1"
	return x
}

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name  string
		names []string
		want  []string // in order
	}{
		{"nothing", nil, nil},
		{"alone", []string{"failover"}, []string{"failover"}},
		{"what it needs comes first", []string{"virtio_net"}, []string{"failover", "net_failover", "virtio_ring", "virtio", "virtio_net"}},
		{"each once", []string{"virtio", "virtio_net", "virtio"}, []string{"virtio_ring", "virtio", "failover", "net_failover", "virtio_net"}},
		{"- and _ are the same", []string{"net-failover", "virtio-net"}, []string{"failover", "net_failover", "virtio_ring", "virtio", "virtio_net"}},
		{"built in", []string{"ext4", "virtio_console", "failover"}, []string{"failover"}},
		{"by file", []string{"kernel/net/core/failover.ko"}, []string{"failover"}},
	} {
		modules, err := read(t).Resolve(tt.names...)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		var got []string
		for _, m := range modules {
			got = append(got, m.Name)
		}
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	for _, tt := range []struct {
		name    string
		unknown string // of an UnknownError; else a CycleError is due
	}{
		{"nosuch", "nosuch"},
		{"orphan", "gone"},
		{"chicken", ""},
	} {
		_, err := read(t).Resolve("failover", tt.name)
		var unknown *UnknownError
		var cycle *CycleError
		switch {
		case tt.unknown == "" && !errors.As(err, &cycle):
			t.Errorf("%s: %v, want a CycleError", tt.name, err)
		case tt.unknown != "" && (!errors.As(err, &unknown) || unknown.Name != tt.unknown):
			t.Errorf("%s: %v, want an UnknownError about %q", tt.name, err, tt.unknown)
		}
	}
	_, err := read(t).Resolve("one", "two")
	for _, name := range []string{`"one"`, `"two"`} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("error %q does not name %s", err, name)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	for _, text := range []string{"no colon\n", "/absolute.ko:\n", "../outside.ko:\n", strings.Repeat("x", 2<<20) + ":\n"} {
		if _, err := Read(strings.NewReader(text), strings.NewReader("")); err == nil {
			t.Errorf("modules.dep of %.20q was accepted", text)
		}
	}
}

func TestOpen(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "6.1.0-test")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("directory without modules.dep: %v, want %v", err, os.ErrNotExist)
	}
	if err := os.WriteFile(filepath.Join(dir, "modules.dep"), []byte(dependencies), 0o644); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "modules")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	x, err := Open(link)
	if err != nil {
		t.Fatal(err)
	}
	if x.Release != "6.1.0-test" {
		t.Errorf("release of a link = %q, want that of what it leads to", x.Release)
	}
	if !x.Has("virtio-net") || x.Has("ext4") {
		t.Error("without modules.builtin only loadable modules are to be there")
	}
}

// FuzzResolve holds that whatever modules.dep says, resolving ends, and puts
// every module after those that it needs.
func FuzzResolve(f *testing.F) {
	f.Add(dependencies, "virtio_net")
	f.Add("a.ko: b.ko c.ko\nb.ko: c.ko\nc.ko:\n", "a")
	f.Add("a.ko: a.ko\n", "a")
	f.Fuzz(func(t *testing.T, text, name string) {
		x, err := Read(strings.NewReader(text), strings.NewReader(""))
		if err != nil {
			return
		}
		order, err := x.Resolve(name)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, m := range order {
			for _, dep := range m.Deps {
				if !seen[dep] {
					t.Fatalf("%s comes before %s, which it needs", m.Name, dep)
				}
			}
			seen[m.Name] = true
		}
	})
}
