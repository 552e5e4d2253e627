package session

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Modules are beside a kernel's image, or where a host keeps them.
func TestModuleDirs(t *testing.T) {
	dir := t.TempDir()
	beside := filepath.Join(dir, "a", "modules")
	for _, d := range []string{beside, filepath.Join(dir, "b")} {
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	got := moduleDirs([]Kernel{
		{"with", filepath.Join(dir, "a", "vmlinuz")},
		{"without", filepath.Join(dir, "b", "vmlinuz")},
		{"host's", filepath.Join(dir, "a", "vmlinuz-0.0.0-none")},
	})
	if want := []string{beside}; !slices.Equal(got, want) {
		t.Errorf("the kernels' modules are in %q, want %q", got, want)
	}
}
