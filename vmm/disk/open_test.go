package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio/block"
)

// What cannot be a disk is refused, with the reason.
func TestOpenRefuses(t *testing.T) {
	dir := t.TempDir()
	file := func(name, contents string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(contents), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	sector := strings.Repeat("x", 512)
	qcow := "QFI\xfb" + sector[4:]
	for _, tt := range []struct {
		name string
		o    Options
		want string
	}{
		{"missing", Options{Path: filepath.Join(dir, "missing")}, "no such file"},
		{"directory", Options{Path: dir}, "is a directory; a disk is a file or a block device"},
		{"named pipe", Options{Path: fifo}, "is neither a file nor a block device"},
		{"character device", Options{Path: "/dev/null"}, "is neither a file nor a block device"},
		{"empty", Options{Path: file("empty", "")}, "is empty"},
		{"odd size", Options{Path: file("odd", sector+"x")}, "its size, 513 bytes, is not a multiple of 512"},
		{"qcow2 by its contents", Options{Path: file("q", qcow)}, "it looks like a qcow2 image: say format=qcow2, or format=raw"},
		{"qcow2 by its contents, of odd size", Options{Path: file("q0", qcow+"x")}, "it looks like a qcow2 image"},
		{"qcow2 with nothing in it", Options{Path: file("q2", qcow), Format: FormatQCOW2}, "version 2021161080 of qcow2"},
		{"qcow2 for an overlay", Options{Path: file("q5", sector), Format: FormatQCOW2, Overlay: true}, "not a qcow2 image"},
		{"qcow2 in a directory", Options{Path: dir, Format: FormatQCOW2}, "neither a file nor a block device"},
		{"qcow2 missing", Options{Path: filepath.Join(dir, "missing"), Format: FormatQCOW2}, "no such file"},
		{"ring for qcow2", Options{Path: file("q3", qcow), Format: FormatQCOW2, Engine: EngineRing}, "engine=io_uring is for raw images"},
		{"no cache for qcow2", Options{Path: file("q4", qcow), Format: FormatQCOW2, Cache: CacheNone}, "cache=none is for raw images"},
		{"overlay read-only", Options{Path: file("o", sector), Overlay: true, ReadOnly: true}, "ro and overlay do not go together"},
		{"direct I/O in memory", Options{Path: memoryFile(t), Cache: CacheNone}, "cache=none: its file system has no direct I/O"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := Open(tt.o)
			if err == nil {
				d.Close()
				if tt.name == "direct I/O in memory" {
					t.Skip("since Linux 6.6 tmpfs has it")
				}
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), tt.o.Path) != 1 {
				t.Errorf("%v; want %q, and the path once", err, tt.want)
			}
		})
	}
	if d, err := Open(Options{Path: file("raw", qcow), Format: FormatRaw}); err != nil {
		t.Errorf("a raw disk that looks like qcow2: %v", err)
	} else {
		d.Close()
	}
}

// Whatever is wrong with a qcow2 image or a file behind it, the message names each
// file once, and says what to do about it.
func TestOpenRefusesQCOW2(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	qemuImg(t, "create", "-q", "-f", "qcow2", at("base"), "1M")
	qemuImg(t, "create", "-q", "-f", "qcow2", "-b", at("base"), "-F", "qcow2", at("top"))
	qemuImg(t, "create", "-q", "-f", "qcow2", at("empty"), "0")
	qemuImg(t, "create", "-q", "-f", "qcow2", at("odd"), "1M")
	const offSize = 24 // qcow2 "Header"
	header, err := os.ReadFile(at("odd"))
	if err != nil {
		t.Fatal(err)
	}
	header[offSize+7] = 1
	if err := os.WriteFile(at("odd"), header, 0o600); err != nil {
		t.Fatal(err)
	}
	other, err := os.OpenFile(at("base"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := lock(int(other.Fd()), false); err != nil { // which is the open file's, not this process's
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, want string }{
		{"base", "disk " + at("base") + ": another vmm"},
		{"top", "disk " + at("top") + ": backing file: open " + at("base") + ": another vmm"},
		{"empty", "is empty; a new disk of 1 GiB is made by qemu-img create"},
		{"odd", "its size, 1048577 bytes, is not a multiple of 512; qemu-img resize"},
	} {
		d, err := Open(Options{Path: at(tt.name), Format: FormatQCOW2})
		if err == nil {
			d.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Count(err.Error(), at(tt.name)) != 1 {
			t.Errorf("%v; want %q, and the path once", err, tt.want)
		}
	}
}

// qemuImg runs qemu-img, or skips the test where there is none.
func qemuImg(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("qemu-img", args...).CombinedOutput(); err != nil {
		if os.Getenv("MICROVM_NOSKIP") != "" {
			t.Fatalf("qemu-img: %v\n%s", err, out)
		}
		t.Skipf("SKIPPED, missing on this host: qemu-img: %v", err)
	}
}

// memoryFile returns the path of a file in a tmpfs.
func memoryFile(t *testing.T) string {
	t.Helper()
	f, err := os.CreateTemp("/dev/shm", "vmm-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Remove(f.Name()) })
	defer f.Close()
	if err := f.Truncate(size); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// asChild is set in the environment of this test binary when it is to be another
// vmm: it opens the disk that arguments name, writes to it if it may, says "ready",
// and waits until it is killed.
const asChild = "DISK_TEST_CHILD"

func TestMain(m *testing.M) {
	if os.Getenv(asChild) == "" {
		os.Exit(m.Run())
	}
	if err := child(os.Args[1], os.Args[2] == "ro"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func child(path string, readOnly bool) error {
	d, err := Open(Options{Path: path, ReadOnly: readOnly, Cache: CacheWriteback, Engine: EngineAuto})
	if err != nil {
		return err
	}
	if !readOnly {
		for _, op := range []*block.Op{{Kind: block.Write, Len: 512, Data: [][]byte{bytes.Repeat([]byte("!"), 512)}}, {Kind: block.Flush}} {
			if err := d.storage.do(op, &scratch{}); err != nil {
				return err
			}
		}
	}
	fmt.Println("ready")
	return unix.Pause()
}

// startChild starts another vmm and waits until it has the disk.
func startChild(t *testing.T, path, mode string) *exec.Cmd {
	t.Helper()
	c := exec.Command("/proc/self/exe", path, mode)
	c.Env, c.Stderr = append(os.Environ(), asChild+"=1"), os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("the other vmm: %v", err)
	}
	return c
}

// A disk that is written has one user, one that is read may have many, and when
// a vmm is killed its disks are free and have what was flushed.
func TestLock(t *testing.T) {
	path := newFile(t, make([]byte, size))
	open := func(o Options) error {
		o.Path = path
		d, err := Open(o)
		if err == nil {
			err = d.Close()
		}
		return err
	}
	writer := startChild(t, path, "rw")
	for _, o := range []Options{{}, {ReadOnly: true}, {Overlay: true}} {
		if err := open(o); err == nil || !strings.Contains(err.Error(), "another vmm") || !strings.Contains(err.Error(), path) {
			t.Errorf("beside a writer, %+v: %v", o, err)
		}
	}
	if err := writer.Process.Signal(unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := writer.Wait(); !errors.As(err, &exit) {
		t.Fatalf("killed: %v", err)
	}
	if b, err := os.ReadFile(path); err != nil || b[0] != '!' || b[511] != '!' || b[512] != 0 {
		t.Errorf("what was flushed is lost: %v", err)
	}
	startChild(t, path, "ro")
	if err := open(Options{ReadOnly: true}); err != nil {
		t.Errorf("beside a reader, read-only: %v", err)
	}
	if err := open(Options{Overlay: true}); err != nil {
		t.Errorf("beside a reader, with an overlay: %v", err)
	}
	if err := open(Options{}); err == nil || !strings.Contains(err.Error(), "another vmm") {
		t.Errorf("beside a reader, writable: %v", err)
	}
}

func TestInfo(t *testing.T) {
	path := newFile(t, make([]byte, size))
	for _, tt := range []struct {
		o    Options
		want block.Info
	}{
		{Options{Cache: CacheWriteback}, block.Info{Size: size, Writeback: true, BlockSize: 512, PhysicalBlock: 4096}},
		{Options{Cache: CacheWritethrough, ReadOnly: true}, block.Info{Size: size, ReadOnly: true, BlockSize: 512, PhysicalBlock: 4096}},
		{Options{Cache: CacheUnsafe, Overlay: true}, block.Info{Size: size, Writeback: true, BlockSize: 512, PhysicalBlock: 4096}},
	} {
		tt.o.Path = path
		d, err := Open(tt.o)
		if err != nil {
			t.Fatal(err)
		}
		if got := d.Info(); got != tt.want {
			t.Errorf("%+v: %+v, want %+v", tt.o, got, tt.want)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A qcow2 image is a disk too, and can be under an overlay, which leaves it as
// it is.
func TestQCOW2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	qemuImg(t, "create", "-q", "-f", "qcow2", path, fmt.Sprint(size))
	// use opens the disk, writes text to it unless that is "", and returns
	// what it reads then.
	use := func(o Options, text string) string {
		t.Helper()
		o.Path, o.Format, o.Engine = path, FormatQCOW2, EngineAuto
		d, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		defer d.Close()
		if d.Info().Size != size {
			t.Errorf("%d bytes, want %d", d.Info().Size, size)
		}
		var s scratch
		memory := make([]byte, 512)
		ops := []*block.Op{{Kind: block.Read, Off: 4096, Len: 512, Data: [][]byte{memory}}}
		if text != "" {
			ops = append([]*block.Op{{Kind: block.Write, Off: 4096, Len: 512, Data: [][]byte{append([]byte(text), make([]byte, 512-len(text))...)}, Durable: true}}, ops...)
		}
		for _, op := range ops {
			if err := d.storage.do(op, &s); err != nil {
				t.Fatal(err)
			}
		}
		return string(bytes.TrimRight(memory, "\x00"))
	}
	if got := use(Options{}, "first"); got != "first" {
		t.Errorf("written: %q", got)
	}
	if got := use(Options{Overlay: true}, "second"); got != "second" {
		t.Errorf("written to the overlay: %q", got)
	}
	if got := use(Options{ReadOnly: true}, ""); got != "first" {
		t.Errorf("after the overlay: %q", got)
	}
}
