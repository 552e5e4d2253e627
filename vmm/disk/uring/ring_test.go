package uring

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// newRing returns a ring and the eventfd that it rings, or skips the test.
func newRing(t *testing.T, depth int) (*Ring, int) {
	t.Helper()
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	r, err := New(depth, fd)
	if err != nil {
		if os.Getenv("MICROVM_NOSKIP") != "" {
			t.Fatal(err)
		}
		t.Skipf("SKIPPED, missing on this host: %v", err)
	}
	return r, fd
}

// next waits for a result by the eventfd.
func next(t *testing.T, r *Ring, eventfd int) Result {
	t.Helper()
	for {
		if res, ok := r.Next(); ok {
			return res
		}
		if _, err := unix.Read(eventfd, make([]byte, 8)); err != nil {
			t.Fatal(err)
		}
	}
}

func vector(b ...[]byte) (v []unix.Iovec) {
	for _, p := range b {
		v = append(v, unix.Iovec{Base: &p[0], Len: uint64(len(p))})
	}
	return v
}

func TestReadWriteSync(t *testing.T) {
	r, eventfd := newRing(t, 3)
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fd := int(f.Fd())
	do := func() Result {
		if n, err := r.Submit(); n != 1 || err != nil {
			t.Fatalf("submitted %d, %v", n, err)
		}
		return next(t, r, eventfd)
	}
	for i := range 20 { // more than the rings have places
		tag := uint64(i) << 40
		text := []byte{byte(i), 'a', 'b', 'c'}
		r.Writev(tag, fd, vector(text[:1], text[1:]), 100, unix.RWF_DSYNC)
		if res := do(); res != (Result{Tag: tag, Bytes: 4}) {
			t.Fatalf("write: %+v", res)
		}
		r.Fdatasync(tag+1, fd)
		if res := do(); res != (Result{Tag: tag + 1}) {
			t.Fatalf("sync: %+v", res)
		}
		got := make([]byte, 10)
		r.Readv(tag+2, fd, vector(got[:2], got[2:]), 100)
		if res := do(); res != (Result{Tag: tag + 2, Bytes: 4}) || !bytes.Equal(got[:4], text) {
			t.Fatalf("read: %+v, %q", res, got)
		}
	}
	r.Readv(7, -1, vector(make([]byte, 1)), 0)
	if res := do(); res.Err != unix.EBADF || res.Tag != 7 {
		t.Errorf("no file: %+v", res)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// The eventfd tells what is done after Submit, and only that.
func TestEventfd(t *testing.T) {
	r, eventfd := newRing(t, 2)
	if err := unix.SetNonblock(eventfd, true); err != nil {
		t.Fatal(err)
	}
	told := func() bool {
		_, err := unix.Read(eventfd, make([]byte, 8))
		return err == nil
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	if _, err := unix.Write(p[1], []byte("x")); err != nil {
		t.Fatal(err)
	}
	for tag := range uint64(2) { // of the first there is something to read, of the second not yet
		r.Readv(tag, p[0], vector(make([]byte, 1)), -1)
	}
	if n, err := r.Submit(); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	if res, ok := r.Next(); !ok || res.Tag != 0 || told() {
		t.Errorf("a read that is done by Submit: %+v, %t", res, ok)
	}
	if res, ok := r.Next(); ok {
		t.Errorf("a read of an empty pipe: %+v", res)
	}
	if _, err := unix.Write(p[1], []byte("y")); err != nil {
		t.Fatal(err)
	}
	for !told() {
		time.Sleep(time.Millisecond)
	}
	if res, ok := r.Next(); !ok || res.Tag != 1 {
		t.Errorf("a read that is done later: %+v, %t", res, ok)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// Close waits for what is under way.
func TestCloseWaits(t *testing.T) {
	r, _ := newRing(t, 1)
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 1)
	r.Readv(1, p[0], vector(got), -1)
	if n, err := r.Submit(); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	go unix.Write(p[1], []byte("x"))
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if got[0] != 'x' {
		t.Error("Close returned before the read was done")
	}
}

// What the kernel does not take is forgotten.
func TestSubmitFails(t *testing.T) {
	r, _ := newRing(t, 4)
	r.Fdatasync(1, 0)
	fd := r.fd
	r.fd = -1
	if n, err := r.Submit(); n != 0 || err != unix.EBADF {
		t.Errorf("submitted %d, %v", n, err)
	}
	r.fd = fd
	if n, err := r.Submit(); n != 0 || err != nil {
		t.Errorf("afterwards submitted %d, %v", n, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
