package vmm_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mdlayher/vsock"
	"golang.org/x/sys/unix"

	"microvm/vmm"
)

// What both halves of TestVsock know.
const (
	vsockStreams   = 64 // half of them from the guest, half from the host
	vsockData      = 128 * vmm.KiB
	vsockHostPort  = 5000
	vsockGuestPort = 6000
	vsockClosed    = 7000 // nobody listens, on neither side
)

// Streams carry data and its hash both ways at once, each ended by its sender, and
// connections that nobody takes are refused on both sides.
func TestVsock(t *testing.T) {
	if inGuest() {
		vsockGuestHalf(t)
		return
	}
	g := newGuestHalf(t)
	dir := t.TempDir()
	g.CPUs = 2
	g.Vsock = &vmm.Vsock{CID: 3, Path: filepath.Join(dir, "vm.sock")}
	l, err := net.Listen("unix", fmt.Sprintf("%s_%d", g.Vsock.Path, vsockHostPort))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var host exchanges
	connected := make(chan error, 1)
	go func() { connected <- host.connect(l, g.Vsock.Path) }()
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	l.Close()
	if err := <-connected; err != nil {
		t.Errorf("host: %v", err)
	}
	host.wait(t)
	if _, err := os.Lstat(g.Vsock.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is there after the machine's end: %v", err)
	}
	t.Logf("%+v", g.stats.Virtio)
}

func vsockGuestHalf(t *testing.T) {
	l, err := vsock.Listen(vsockGuestPort, nil)
	if err != nil {
		t.Fatal(err)
	}
	var conns []halfCloser
	for range vsockStreams / 2 {
		conn, err := vsock.Dial(vsock.Host, vsockHostPort, nil)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn)
	}
	for range vsockStreams / 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, conn.(*vsock.Conn))
	}
	var guest exchanges
	guest.begin(conns)
	guest.wait(t)
	for _, cid := range []uint32{vsock.Host, 99} {
		if _, err := vsock.Dial(cid, vsockClosed, nil); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("connecting to nobody at CID %d: %v, want it to be refused at once", cid, err)
		}
	}
}

// exchanges are streams that carry data both ways, and what went wrong with them.
type exchanges struct {
	running sync.WaitGroup
	mu      sync.Mutex
	done    int // guarded by mu, as below
	errs    []error
}

// wait waits for all streams, and checks that there were as many as there should
// be.
func (e *exchanges) wait(t *testing.T) {
	e.running.Wait()
	if err := errors.Join(e.errs...); err != nil || e.done != vsockStreams {
		t.Errorf("%d streams of %d carried everything; %v", e.done, vsockStreams, err)
	}
}

// A halfCloser is a connection whose directions end one by one.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// begin carries data on all of conns at once.
func (e *exchanges) begin(conns []halfCloser) {
	for _, conn := range conns {
		e.running.Go(func() { e.exchange(conn) })
	}
}

func (e *exchanges) exchange(conn halfCloser) {
	defer conn.Close()
	sent := make(chan error, 1)
	go func() { sent <- sendHashed(conn) }()
	received := receiveHashed(conn)
	err := errors.Join(<-sent, received)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		e.errs = append(e.errs, err)
	} else {
		e.done++
	}
}

// sendHashed sends data and its hash, and ends its direction.
func sendHashed(conn halfCloser) error {
	data := make([]byte, vsockData)
	rand.NewChaCha8([32]byte{byte(rand.Int())}).Read(data)
	sum := sha256.Sum256(data)
	if _, err := conn.Write(append(data, sum[:]...)); err != nil {
		return err
	}
	return conn.CloseWrite()
}

// receiveHashed reads to the end what sendHashed has sent.
func receiveHashed(conn io.Reader) error {
	got, err := io.ReadAll(conn)
	if err != nil {
		return err
	}
	if len(got) != vsockData+sha256.Size {
		return fmt.Errorf("%d bytes came of %d", len(got), vsockData+sha256.Size)
	}
	data, sum := got[:vsockData], got[vsockData:]
	if want := sha256.Sum256(data); !bytes.Equal(sum, want[:]) {
		return errors.New("other bytes came than were sent")
	}
	return nil
}

// connect makes the host's half of all streams: those that l gets from the guest,
// and those to the guest, whose socket is at path.
func (e *exchanges) connect(l net.Listener, path string) error {
	var conns []halfCloser
	for range vsockStreams / 2 {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		conns = append(conns, conn.(*net.UnixConn))
	}
	for range vsockStreams / 2 { // the guest listened before it connected
		conn, answer, err := ask(path, vsockGuestPort)
		if err != nil || !strings.HasPrefix(answer, "OK ") {
			return fmt.Errorf("connecting to the guest: answer %q, %v", answer, err)
		}
		conns = append(conns, conn)
	}
	e.begin(conns)
	if _, answer, err := ask(path, vsockClosed); err != io.EOF {
		return fmt.Errorf("connecting to nobody: answer %q, %v; want the connection closed", answer, err)
	}
	return nil
}

// ask connects to a port of the guest whose socket is at path.
func ask(path string, port int) (conn *net.UnixConn, answer string, err error) {
	conn, err = net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, "", err
	}
	if _, err := fmt.Fprintf(conn, "CONNECT %d\n", port); err != nil {
		return nil, "", err
	}
	answer, err = bufio.NewReaderSize(oneByOne{conn}, 16).ReadString('\n')
	return conn, answer, err
}

// oneByOne reads a byte at a time, so that nothing is read ahead.
type oneByOne struct{ io.Reader }

func (r oneByOne) Read(p []byte) (int, error) { return r.Reader.Read(p[:1]) }
