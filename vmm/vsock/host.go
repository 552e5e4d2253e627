// Package vsock is the host's end of a guest's socket device: Unix sockets, by
// the convention of other monitors.
//
//	a program on the host                                    in the guest
//	connects to PATH, writes "CONNECT 1234\n",
//	reads "OK 1073741824\n", and then has the stream ──────> listens on port 1234
//
//	listens on PATH_80 <─────── connects to port 80 of CID 2, the host
//
// The number after OK is the port of the host's end. A connection that the
// guest refuses is closed without it, as is one whose first line is no such
// request. A guest's connection to a port that nobody listens on is reset.
package vsock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	device "microvm/devices/virtio/vsock"
)

const (
	// maxPath is the longest path of a Unix socket in bytes
	// (linux/un.h sun_path: 108, with a zero at its end).
	maxPath = 107
	// MaxPath is the longest path that leaves room for "_" and the largest
	// port.
	MaxPath = maxPath - len("_4294967295")
	// maxRequests bounds the programs on the host that are connected and have
	// not said to which port yet; further ones wait until another is done.
	maxRequests = 64
	// maxRequest is the length of the longest line with a port, in bytes, and
	// of any other that is read to its end.
	maxRequest = len("CONNECT 4294967295\r\n")
	// acceptPause is how long a connection waits that could not be taken,
	// mostly since all of the process's descriptors are in use: nothing
	// says when one is free.
	acceptPause = 100 * time.Millisecond
)

// CheckPath returns what is wrong with path as a place for the socket, as far as
// can be seen without looking there.
func CheckPath(path string) error {
	switch {
	case path == "":
		return errors.New("no path given")
	case path[0] == '@':
		return fmt.Errorf("%q names an abstract socket; for a file write ./%s", path, path)
	case len(path) > MaxPath:
		return fmt.Errorf("%q has %d bytes; a socket's path that leaves room for \"_PORT\" has at most %d", path, len(path), MaxPath)
	}
	return nil
}

// A Host is the host's end of one guest's socket device.
type Host struct {
	path string

	mu       sync.Mutex
	listener *net.UnixListener // guarded by mu, as all below; nil unless it listens
	asking   map[net.Conn]bool // programs that have not said a port yet
	closed   bool

	serving sync.WaitGroup
}

// New returns the host's end at path, where there must be nothing yet.
func New(path string) (*Host, error) {
	if err := CheckPath(path); err != nil {
		return nil, err
	}
	if err := checkFree(path); err != nil {
		return nil, err
	}
	return &Host{path: path, asking: map[net.Conn]bool{}}, nil
}

// checkFree checks that a socket can be made at path.
func checkFree(path string) error {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		dir := filepath.Dir(path)
		if err := unix.Access(dir, unix.W_OK|unix.X_OK); err != nil {
			return fmt.Errorf("no socket can be made in %s: %w", dir, err)
		}
		return nil
	case err != nil:
		return err
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s exists, and is no socket", path)
	}
	conn, err := net.Dial("unix", path)
	if errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("the socket %s exists, and nobody listens on it; remove it if the program that made it has ended", path)
	}
	if err != nil {
		return fmt.Errorf("the socket %s exists, and seems to be another program's: %w", path, err)
	}
	conn.Close()
	return fmt.Errorf("the socket %s exists, and another program listens on it", path)
}

// A Guest is what connections of the host's programs go to.
type Guest interface {
	// Connect connects conn to a port of the guest, and calls connected with
	// the port of the host's end when the guest has accepted. Unless there is
	// an error, conn is the guest's.
	Connect(port uint32, conn device.Conn, connected func(hostPort uint32) error) error
}

// Listen makes the socket, and serves the host's programs until Close.
func (h *Host) Listen(g Guest) error {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: h.path, Net: "unix"})
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.listener = l
	h.mu.Unlock()
	h.serving.Go(func() { h.serve(l, g) })
	return nil
}

// serve takes the host's programs' connections until the listener is closed.
func (h *Host) serve(l *net.UnixListener, g Guest) {
	free := make(chan struct{}, maxRequests)
	for {
		free <- struct{}{}
		conn, err := l.AcceptUnix()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			time.Sleep(acceptPause)
			<-free
			continue
		}
		h.serving.Go(func() {
			h.request(conn, g)
			<-free
		})
	}
}

// request connects a program to the port that it asks for, or closes its
// connection.
func (h *Host) request(conn *net.UnixConn, g Guest) {
	if !h.begin(conn) {
		conn.Close()
		return
	}
	port, err := readRequest(conn)
	if h.end(conn); err == nil {
		err = g.Connect(port, conn, func(hostPort uint32) error {
			_, err := fmt.Fprintf(conn, "OK %d\n", hostPort)
			return err
		})
	}
	if err != nil {
		conn.Close()
	}
}

// begin notes that a program is asked for its request, which Close ends.
func (h *Host) begin(conn net.Conn) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.closed {
		h.asking[conn] = true
	}
	return !h.closed
}

func (h *Host) end(conn net.Conn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.asking, conn)
}

// readRequest reads "CONNECT port\n", and nothing that follows.
func readRequest(conn net.Conn) (port uint32, err error) {
	var line []byte
	for b := make([]byte, 1); len(line) == 0 || line[len(line)-1] != '\n'; line = append(line, b[0]) {
		if len(line) == maxRequest {
			return 0, errors.New("the request is too long")
		}
		if _, err := conn.Read(b); err != nil {
			return 0, err
		}
	}
	word, number, _ := strings.Cut(strings.TrimRight(string(line), "\r\n"), " ")
	if !strings.EqualFold(word, "connect") {
		return 0, fmt.Errorf("%q is no request to connect", line)
	}
	n, err := strconv.ParseUint(number, 10, 32)
	return uint32(n), err
}

// Dial implements the device's Dialer: it connects to who listens at the path
// with "_" and the port after it.
func (h *Host) Dial(ctx context.Context, port uint32) (device.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", fmt.Sprintf("%s_%d", h.path, port))
	if err != nil {
		return nil, err
	}
	return conn.(*net.UnixConn), nil
}

// Close removes the socket. The device must have stopped.
func (h *Host) Close() (err error) {
	h.mu.Lock()
	h.closed = true
	if h.listener != nil {
		err = h.listener.Close()
	}
	for conn := range h.asking {
		conn.Close()
	}
	h.mu.Unlock()
	h.serving.Wait()
	return err
}
