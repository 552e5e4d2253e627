package session

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
}

// TestMakeRoot: the payload is in every root directory, and the user's own stays as
// it is.
func TestMakeRoot(t *testing.T) {
	payload, users := filepath.Join(t.TempDir(), "p"), t.TempDir()
	write(t, payload, "the payload")
	write(t, users+"/usr/bin/sh", "the shell")
	if err := os.Symlink("usr/bin", users+"/bin"); err != nil {
		t.Fatal(err)
	}
	for name, from := range map[string]string{"empty": "", "users": users} {
		root := filepath.Join(t.TempDir(), name)
		if err := makeRoot(t.Context(), root, from, payload); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(root + Payload); err != nil || string(text) != "the payload" {
			t.Errorf("%s: the payload is %q, %v", name, text, err)
		}
		for _, dir := range mountPoints {
			if info, err := os.Stat(filepath.Join(root, dir)); err != nil || !info.IsDir() {
				t.Errorf("%s: %s: %v", name, dir, err)
			}
		}
		if text, err := os.ReadFile(root + "/bin/sh"); from != "" && (err != nil || string(text) != "the shell") {
			t.Errorf("the user's shell is %q, %v", text, err)
		}
	}
	if entries, err := os.ReadDir(users); err != nil || len(entries) != 2 {
		t.Errorf("the user's directory has %v, %v", entries, err)
	}
	write(t, users+Payload, "of the user")
	if err := makeRoot(t.Context(), filepath.Join(t.TempDir(), "r"), users, payload); err == nil || !strings.Contains(err.Error(), "of its own") {
		t.Errorf("a root directory with a payload: %v", err)
	}
	if err := makeRoot(t.Context(), filepath.Join(t.TempDir(), "r"), "/no/such", payload); err == nil || !strings.Contains(err.Error(), "No such file") {
		t.Errorf("no root directory: %v", err)
	}
}

// TestInputs: whatever is changed in a directory changes its SHA-256.
func TestInputs(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/a/b", "text")
	seen := make(map[string]string)
	check := func(what string) {
		t.Helper()
		in, err := readInput("root", dir)
		if err != nil || in.Path != dir || len(in.SHA256) != 64 {
			t.Fatalf("%s: %+v, %v", what, in, err)
		}
		if before := seen[in.SHA256]; before != "" {
			t.Errorf("%s has the SHA-256 of %s", what, before)
		}
		seen[in.SHA256] = what
	}
	check("a file")
	write(t, dir+"/a/b", "Text")
	check("another text")
	if err := os.Chmod(dir+"/a/b", 0o600); err != nil {
		t.Fatal(err)
	}
	check("another mode")
	if err := os.Symlink("b", dir+"/a/c"); err != nil {
		t.Fatal(err)
	}
	check("a link")
	if err := os.Rename(dir+"/a/c", dir+"/a/d"); err != nil {
		t.Fatal(err)
	}
	check("another name")
	// SHA-256 of "abc" (FIPS 180-2 appendix B.1).
	write(t, dir+"/f", "abc")
	in, err := readInput("file", dir+"/f")
	if err != nil || in.Size != 3 || in.SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" {
		t.Errorf("a file: %+v, %v", in, err)
	}
}
