package ctxio

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/creack/pty"
)

// cancellable returns the test's context with its end in the caller's hands.
func cancellable(t *testing.T) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithCancel(t.Context())
}

func pipe(t *testing.T) (r, w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

func reader(t *testing.T, f *os.File) *File {
	t.Helper()
	r, err := NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func writer(t *testing.T, f *os.File) *File {
	t.Helper()
	w, err := NewWriter(f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func TestReadIsInterruptedAndLosesNothing(t *testing.T) {
	pr, pw := pipe(t)
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	for _, tt := range []struct {
		name string
		in   *os.File
		feed *os.File
	}{{"pipe", pr, pw}, {"terminal", tty, master}} {
		t.Run(tt.name, func(t *testing.T) {
			r := reader(t, tt.in)
			buf := make([]byte, 16)
			for range 100 { // a late signal must not disturb the next call
				ctx, cancel := cancellable(t)
				go cancel()
				if n, err := r.Read(ctx, buf); n != 0 || !errors.Is(err, context.Canceled) {
					t.Fatalf("Read = %d, %v; want context.Canceled", n, err)
				}
			}
			if _, err := tt.feed.WriteString("hello\n"); err != nil {
				t.Fatal(err)
			}
			n, err := r.Read(t.Context(), buf)
			if err != nil || string(buf[:n]) != "hello\n" {
				t.Errorf("Read after it = %q, %v", buf[:n], err)
			}
		})
	}
}

func TestReadEnds(t *testing.T) {
	t.Run("pipe", func(t *testing.T) {
		pr, pw := pipe(t)
		pw.Close()
		if n, err := reader(t, pr).Read(t.Context(), make([]byte, 4)); err != io.EOF {
			t.Errorf("Read = %d, %v; want EOF", n, err)
		}
	})
	t.Run("null device", func(t *testing.T) {
		null, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		if n, err := reader(t, null).Read(t.Context(), make([]byte, 4)); err != io.EOF {
			t.Errorf("Read = %d, %v; want EOF", n, err)
		}
	})
	t.Run("terminal hung up", func(t *testing.T) {
		master, tty, err := pty.Open()
		if err != nil {
			t.Fatal(err)
		}
		defer tty.Close()
		r := reader(t, tty)
		master.Close()
		if n, err := r.Read(t.Context(), make([]byte, 4)); err != io.EOF {
			t.Errorf("Read = %d, %v; want EOF", n, err)
		}
	})
}

func TestRegularFileKeepsItsOffset(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "f"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteString("before "); err != nil {
		t.Fatal(err)
	}
	if _, err := writer(t, f).Write(t.Context(), []byte("after")); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(f.Name())
	if err != nil || string(got) != "before after" {
		t.Errorf("file has %q, %v", got, err)
	}
	if _, err := f.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 16)
	n, err := reader(t, f).Read(t.Context(), buf)
	if err != nil || string(buf[:n]) != "after" {
		t.Errorf("Read = %q, %v; want what follows the offset", buf[:n], err)
	}
}

func TestWriteToFullPipeIsInterrupted(t *testing.T) {
	pr, pw := pipe(t)
	w := writer(t, pw)
	ctx, cancel := cancellable(t)
	type result struct {
		n   int
		err error
	}
	done := make(chan result)
	big := bytes.Repeat([]byte("x"), 1<<20) // pipes hold 64 KiB
	go func() {
		n, err := w.Write(ctx, big)
		done <- result{n, err}
	}()
	one := make([]byte, 1)
	if _, err := pr.Read(one); err != nil { // it has begun
		t.Fatal(err)
	}
	cancel()
	r := <-done
	if r.n >= len(big) || !errors.Is(r.err, context.Canceled) {
		t.Errorf("Write = %d, %v; want fewer than %d and context.Canceled", r.n, r.err, len(big))
	}
}

func TestWriteWholeThroughPipe(t *testing.T) {
	pr, pw := pipe(t)
	w := writer(t, pw)
	big := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	errs := make(chan error, 1)
	go func() {
		_, err := w.Write(t.Context(), big)
		errs <- err
	}()
	got := make([]byte, len(big))
	if _, err := io.ReadFull(pr, got); err != nil {
		t.Fatal(err)
	}
	if err := <-errs; err != nil || !bytes.Equal(got, big) {
		t.Errorf("Write: %v, same bytes: %t", err, bytes.Equal(got, big))
	}
}

func TestWriteToClosedPipe(t *testing.T) {
	pr, pw := pipe(t)
	w := writer(t, pw)
	pr.Close()
	if _, err := w.Write(t.Context(), []byte("x")); err == nil || !bytes.Contains([]byte(err.Error()), []byte("nobody reads it")) {
		t.Errorf("Write = %v; want a clear error", err)
	}
}
