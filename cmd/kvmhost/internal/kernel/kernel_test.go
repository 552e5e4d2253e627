package kernel

import (
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/guestinit/modules"
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
		}, "", `has no module "9p"`},
		{"modules are gone", map[string]string{"boot/vmlinuz-6.1-amd64": ""}, "", "its modules: "},
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

// The useful modules that a kernel has are loaded too, and one that is built in
// is not.
func TestModuleFiles(t *testing.T) {
	dep := strings.Replace(enough, "kernel/fs/overlayfs/overlay.ko:\n", "", 1)
	dir := write(t, map[string]string{"modules.dep": dep, "modules.builtin": "kernel/fs/overlayfs/overlay.ko\n"})
	files, err := moduleFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, file := range files {
		if !filepath.IsAbs(file) {
			t.Errorf("%s is relative to the module directory", file)
		}
		names = append(names, modules.Name(file))
	}
	want := []string{"virtio_ring", "virtio", "virtio_pci", "virtio_console", "9pnet", "9pnet_virtio", "9p", "kvm", "kvm_amd", "tun"}
	if !slices.Equal(names, want) {
		t.Errorf("modules %q, want %q", names, want)
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
