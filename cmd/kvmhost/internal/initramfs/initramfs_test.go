package initramfs

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/u-root/u-root/pkg/cpio"
)

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	z.Write([]byte("second module"))
	z.Close()
	program := file("program", "a program")
	modules := []string{file("z.ko", "first module"), file("a.ko.gz", packed.String())}

	var archive bytes.Buffer
	if err := Write(&archive, program, modules); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"init": "a program", "modules/00-z.ko": "first module", "modules/01-a.ko.gz": "second module",
	}
	var names []string
	for _, r := range records {
		names = append(names, r.Name)
		if r.Name == "init" && r.Mode&0o111 == 0 {
			t.Errorf("init has mode %o: nobody may run it", r.Mode)
		}
		content, err := io.ReadAll(io.NewSectionReader(r, 0, int64(r.FileSize)))
		if err != nil {
			t.Fatal(err)
		}
		if string(content) != want[r.Name] {
			t.Errorf("%s has %q, want %q", r.Name, content, want[r.Name])
		}
		delete(want, r.Name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	// The kernel drops a file whose directory it has not met yet.
	if d, f := slices.Index(names, "modules"), slices.Index(names, "modules/00-z.ko"); d < 0 || d > f {
		t.Errorf("the directory is not before its files: %q", names)
	}
}

func TestWriteSharedLibraries(t *testing.T) {
	const program = "/bin/sh"
	var archive bytes.Buffer
	if err := Write(&archive, program, nil); err != nil {
		t.Fatal(err)
	}
	records, err := cpio.ReadAllRecords(cpio.Newc.Reader(bytes.NewReader(archive.Bytes())))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(records, func(r cpio.Record) bool { return filepath.Base(r.Name) == "libc.so.6" }) {
		t.Errorf("%s came without its C library", program)
	}
}

func TestMissingFile(t *testing.T) {
	if err := Write(io.Discard, "/no/such/file", nil); err == nil {
		t.Error("no error for a missing program")
	}
	if err := Write(io.Discard, "/dev/null", []string{"/no/such.ko"}); err == nil {
		t.Error("no error for a missing module")
	}
}
