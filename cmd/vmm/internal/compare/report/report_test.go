package report

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Each of the three forms has each verdict, each experiment, what is missing and
// the mark of an emulated host.
func TestRender(t *testing.T) {
	dir := newMadeUp().everything().write(t)
	var screen strings.Builder
	if err := Render(&screen, dir); err != nil {
		t.Fatal(err)
	}
	forms := map[string]string{"terminal": screen.String()}
	for _, name := range []string{MarkdownFile, HTMLFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		forms[name] = string(text)
	}
	for name, text := range forms {
		for _, want := range []string{"Emulated KVM", "firecracker is not in $PATH", "download a release", "thousands of containers", "qemu-microvm"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s has no %q", name, want)
			}
		}
		if n := strings.Count(text, "emulated KVM"); name == HTMLFile && n < 8 {
			t.Errorf("%d marks of an emulated KVM on the page, want one on each of 4 plots in 2 sizes", n)
		}
	}
	left, err := filepath.Glob(filepath.Join(dir, ".report-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
}

func TestRenderOfNoRun(t *testing.T) {
	if err := Render(io.Discard, t.TempDir()); err == nil || !strings.Contains(err.Error(), "not the directory of a run") {
		t.Errorf("got %v, want that it is no run", err)
	}
}
