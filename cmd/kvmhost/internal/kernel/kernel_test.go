package kernel

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// enough is a modules.dep with all that is needed.
const enough = `kernel/drivers/virtio/virtio_ring.ko:
kernel/drivers/virtio/virtio.ko: kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio.ko kernel/drivers/virtio/virtio_ring.ko
kernel/drivers/char/virtio_console.ko.xz: kernel/drivers/virtio/virtio.ko
kernel/net/9p/9pnet.ko:
kernel/net/9p/9pnet_virtio.ko: kernel/net/9p/9pnet.ko
kernel/fs/9p/9p.ko: kernel/net/9p/9pnet.ko
kernel/fs/overlayfs/overlay.ko:
kernel/arch/x86/kvm/kvm.ko:
kernel/arch/x86/kvm/kvm-amd.ko: kernel/arch/x86/kvm/kvm.ko
kernel/drivers/net/tun.ko:
`

// write writes files below a new directory and returns it.
func write(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, content := range files {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestFind(t *testing.T) {
	without9p := strings.ReplaceAll(enough, "kernel/fs/9p/9p.ko:", "kernel/fs/9p/other.ko:")
	tests := []struct {
		name  string
		files map[string]string
		want  string // version
		err   string
	}{
		{"none", nil, "", "no kernel in"},
		{"newest by number", map[string]string{
			"boot/vmlinuz-6.1.0-9-amd64": "", "lib/modules/6.1.0-9-amd64/modules.dep": enough,
			"boot/vmlinuz-6.1.0-10-amd64": "", "lib/modules/6.1.0-10-amd64/modules.dep": enough,
		}, "6.1.0-10-amd64", ""},
		{"the newest lacks 9p", map[string]string{
			"boot/vmlinuz-6.1-amd64": "", "lib/modules/6.1-amd64/modules.dep": enough,
			"boot/vmlinuz-6.12-cloud-amd64": "", "lib/modules/6.12-cloud-amd64/modules.dep": without9p,
		}, "6.1-amd64", ""},
		{"only one without 9p", map[string]string{
			"boot/vmlinuz-6.1-cloud-amd64": "", "lib/modules/6.1-cloud-amd64/modules.dep": without9p,
		}, "", "it has no module 9p"},
		{"modules are gone", map[string]string{"boot/vmlinuz-6.1-amd64": ""}, "", "modules.dep: no such file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			k, err := Find(write(t, test.files))
			if test.err != "" {
				if err == nil || !strings.Contains(err.Error(), test.err) || !strings.Contains(err.Error(), Install) {
					t.Errorf("error %v, want one with %q and %q", err, test.err, Install)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(filepath.Base(k.Image), "vmlinuz-"); got != test.want {
				t.Errorf("found %s, want %s", got, test.want)
			}
		})
	}
}

func TestUnreadableImage(t *testing.T) {
	root := write(t, map[string]string{"boot/vmlinuz-1": "", "lib/modules/1/modules.dep": enough})
	image := filepath.Join(root, "boot/vmlinuz-1")
	if err := os.Chmod(image, 0); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Dir(root), 0o755); err != nil {
		t.Fatal(err)
	}
	found := make(chan error)
	go func() {
		// Root may read every file, but not on a thread that is nobody's.
		runtime.LockOSThread() // for ever: the thread ends with the goroutine
		err := unix.Setfsuid(65534)
		if err == nil || os.Getuid() != 0 {
			_, err = Find(root)
		}
		found <- err
	}()
	if err := <-found; err == nil || !strings.Contains(err.Error(), "chmod a+r "+image) {
		t.Errorf("error %v does not say how to make the image readable", err)
	}
}

func TestOrder(t *testing.T) {
	m, err := ReadModules(write(t, map[string]string{"modules.dep": enough}))
	if err != nil {
		t.Fatal(err)
	}
	files, err := m.Order()
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 11 {
		t.Errorf("%d modules, want all 11 once: %q", len(files), files)
	}
	for name, deps := range m.deps {
		for _, dep := range deps {
			at := func(name string) int { return slices.Index(files, filepath.Join(m.dir, m.path[name])) }
			if at(dep) < 0 || at(dep) > at(name) {
				t.Errorf("%s is number %d, after %s which needs it, number %d", dep, at(dep), name, at(name))
			}
		}
	}
}

func TestOrderOfACycleEnds(t *testing.T) {
	cycle := strings.Replace(enough, "9pnet.ko:\n", "9pnet.ko: kernel/fs/9p/9p.ko\n", 1)
	m, err := ReadModules(write(t, map[string]string{"modules.dep": cycle}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Order(); err != nil {
		t.Error(err)
	}
}

func TestBuiltinNeedsNoFile(t *testing.T) {
	dep := strings.Replace(enough, "kernel/fs/overlayfs/overlay.ko:\n", "", 1)
	m, err := ReadModules(write(t, map[string]string{
		"modules.dep": dep, "modules.builtin": "kernel/fs/overlayfs/overlay.ko\n",
	}))
	if err != nil {
		t.Fatal(err)
	}
	files, err := m.Order()
	if err != nil {
		t.Fatal(err)
	}
	if slices.ContainsFunc(files, func(f string) bool { return strings.Contains(f, "overlay") }) {
		t.Errorf("a built-in module is to be loaded: %q", files)
	}
}

func TestCompareVersions(t *testing.T) {
	ascending := []string{"5.10.0-9-amd64", "6.1.0-9-amd64", "6.1.0-10-amd64", "6.1.0-056-amd64", "6.2", "6.12-amd64", "6.12-cloud"}
	for i, a := range ascending {
		for j, b := range ascending {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := compareVersions(a, b); got != want {
				t.Errorf("compareVersions(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}
