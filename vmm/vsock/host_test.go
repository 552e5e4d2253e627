package vsock

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	device "microvm/devices/virtio/vsock"
)

// A fakeGuest takes connections to port 22, and echoes.
type fakeGuest struct{}

func (fakeGuest) Connect(port uint32, conn device.Conn, connected func(uint32) error) error {
	if port != 22 {
		return errors.New("nobody listens")
	}
	if err := connected(1 << 30); err != nil {
		return err
	}
	go func() {
		io.Copy(conn, conn)
		conn.Close()
	}()
	return nil
}

// listen returns a host's end that listens at the path.
func listen(t *testing.T) (*Host, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vm.sock")
	h, err := New(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Listen(fakeGuest{}); err != nil {
		t.Fatal(err)
	}
	return h, path
}

func dial(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	conn, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestRequests(t *testing.T) {
	h, path := listen(t)
	defer h.Close()
	for _, tt := range []struct{ request, answer string }{
		{"CONNECT 22\n", "OK 1073741824\n"},
		{"CONNECT 22\r\n", "OK 1073741824\n"},
		{"connect 22\n", "OK 1073741824\n"},
		{"CONNECT 22\nand data at once", "OK 1073741824\nand data at once"},
		{"CONNECT 23\n", ""},
		{"CONNECT 4294967296\n", ""},
		{"CONNECT -1\n", ""},
		{"CONNECT\n", ""},
		{"CONNECT 22", ""},
		{"\n", ""},
		{"GET / HTTP/1.1\r\n", ""},
		{"CONNECT 00000000000000000000000000022\n", ""},
		{"", ""},
	} {
		conn := dial(t, path)
		if _, err := conn.Write([]byte(tt.request)); err != nil {
			t.Fatal(err)
		}
		if err := conn.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(conn)
		if err != nil && !strings.Contains(err.Error(), "reset") || string(got) != tt.answer { // reset: with bytes that nobody read
			t.Errorf("%q: answer %q, %v; want %q", tt.request, got, err, tt.answer)
		}
	}
}

// Many programs that say nothing keep nobody from the guest for ever, and do
// not keep Close.
func TestSilentPrograms(t *testing.T) {
	h, path := listen(t)
	var silent []*net.UnixConn
	for range maxRequests {
		silent = append(silent, dial(t, path))
	}
	late := dial(t, path)
	if _, err := late.Write([]byte("CONNECT 22\n")); err != nil {
		t.Fatal(err)
	}
	silent[0].Close()
	if _, err := io.ReadFull(late, make([]byte, 3)); err != nil {
		t.Errorf("after one has gone: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if n, err := silent[1].Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read %d bytes, %v after Close, want the end", n, err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket after Close: %v", err)
	}
}

// The guest's connections go to the socket of their port.
func TestDial(t *testing.T) {
	h, path := listen(t)
	defer h.Close()
	if _, err := h.Dial(context.Background(), 80); err == nil {
		t.Error("connected to nobody")
	}
	l, err := net.Listen("unix", path+"_80")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := h.Dial(context.Background(), 80)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
}

func TestPaths(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	used := filepath.Join(dir, "used")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: used, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	stale := filepath.Join(dir, "stale")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	dead.SetUnlinkOnClose(false)
	dead.Close()
	datagrams := filepath.Join(dir, "datagrams")
	other, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: datagrams, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	longest := strings.Repeat("x", MaxPath)
	for path, want := range map[string]string{
		"":                               "no path given",
		"@vm":                            "write ./@vm",
		longest + "x":                    "has 97 bytes",
		file:                             "exists, and is no socket",
		used:                             "another program listens on it",
		stale:                            "nobody listens on it; remove it if",
		datagrams:                        "seems to be another program's: dial",
		filepath.Join(dir, "none/vm"):    "no socket can be made in " + dir + "/none: no such file",
		filepath.Join(file, "vm"):        "not a directory",
		filepath.Join("/proc/self", "x"): "no socket can be made in /proc/self",
	} {
		if _, err := New(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", path, err, want)
		}
	}
	t.Chdir(dir)
	if err := CheckPath(longest); err != nil {
		t.Errorf("the longest path: %v", err)
	}
	h, err := New(longest)
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Listen(fakeGuest{}); err != nil {
		t.Errorf("the longest path: %v", err)
	}
	if err := h.Close(); err != nil {
		t.Error(err)
	}
}
