package experiment

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// TestRequest: the real payload, as a process, asks for everything, and leaves nothing.
func TestRequest(t *testing.T) {
	var n notebook
	bare := armtest.Fake{Named: "bare", Script: armtest.Begin + "echo RESULT system-call 1/s 5; echo RESULT first-page-fault 1/s 6; echo RESULT page-fault 1/s 7;" + armtest.End}
	s := n.session(t, brief(1, 1), bare)
	s.Effort.Patience = patience
	addNative(t, s)
	if err := Request.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, m := range []string{RequestSystemCall, RequestFirstPageFault, RequestPageFault, RequestRead, RequestRoundTrip} {
		if got := n.only(t, "native", m, 0); got.Value < 10 || got.Unit != compare.PerSecond {
			t.Errorf("%s: %+v", m, got)
		}
	}
	for _, m := range []string{RequestStreamTo, RequestStreamFrom} {
		if got := n.only(t, "native", m, 0); got.Value < 1e6 || got.Unit != compare.BytesPerSecond {
			t.Errorf("%s: %+v", m, got)
		}
	}
	if read, network := n.only(t, "native", RequestReadBy, 0).Text, n.only(t, "native", RequestNetworkBy, 0).Text; read != "file" || network != "host" {
		t.Errorf("reads are carried by %q, the network by %q", read, network)
	}
	n.only(t, "bare", RequestPageFault, 0)
	for _, m := range []string{RequestReadBy, RequestRead, RequestNetworkBy, RequestRoundTrip, RequestStreamTo, RequestStreamFrom} {
		if got := n.of("bare", m); len(got) != 1 || !strings.Contains(got[0].Failed, "cannot be given it") {
			t.Errorf("an arm without a network or files has %+v", got)
		}
	}
	if left, err := os.ReadDir(s.Dir); err != nil || len(left) > 0 {
		t.Errorf("files are left: %v, %v", left, err)
	}
	noneLeft(t)
}

// An arm that cannot be equipped now is measured as far as it can.
func TestRequestNotEquipped(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 1))
	addNative(t, s)
	a := PreparedArm{s.Arms[0].Arm, unequipped{s.Arms[0].Prepared}}
	j, err := s.requestJob(t.Context(), a, []need{networkNeed(make(peers))})
	if err != nil {
		t.Fatal(err)
	}
	if len(j.modes) != len(kernelModes) {
		t.Errorf("the job has %d modes, want those that need nothing", len(j.modes))
	}
	if got := n.of("native", RequestRoundTrip); len(got) != 1 || got[0].Failed != "no cable" {
		t.Errorf("an arm without a cable has %+v", got)
	}
}

type unequipped struct{ arm.Prepared }

func (u unequipped) Equip(arm.Extras) (arm.Prepared, arm.Access, error) {
	return nil, arm.Access{}, errors.New("no cable")
}

func TestWriteRandom(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	if err := writeRandom(name); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil || len(data) != requestFileSize || bytes.Contains(data, make([]byte, 16)) {
		t.Errorf("%d bytes, %v, want %d without holes", len(data), err, requestFileSize)
	}
	if err := writeRandom(name); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that is there is written over: %v", err)
	}
}

// dialPeer connects to a service of a new peer.
func dialPeer(t *testing.T, service int) (*peer, *net.TCPConn) {
	t.Helper()
	p, err := startPeer(t.Context(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := net.Dial("tcp", "127.0.0.1:"+p.port(service))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return p, c.(*net.TCPConn)
}

func TestPeer(t *testing.T) {
	t.Run("echo", func(t *testing.T) {
		p, c := dialPeer(t, echoService)
		defer p.close()
		if _, err := c.Write([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 5)
		if _, err := io.ReadFull(c, got); err != nil || string(got) != "hello" {
			t.Errorf("the echo is %q, %v", got, err)
		}
	})
	t.Run("sink", func(t *testing.T) {
		p, c := dialPeer(t, sinkService)
		defer p.close()
		if _, err := c.Write(make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if rest, err := io.ReadAll(c); err != nil || len(rest) > 0 {
			t.Errorf("after its end a sink says %q, %v", rest, err)
		}
	})
	t.Run("source", func(t *testing.T) {
		p, c := dialPeer(t, sourceService)
		defer p.close()
		if _, err := io.CopyN(io.Discard, c, 1<<20); err != nil {
			t.Error(err)
		}
	})
}

// The end of a peer is the end of its connections, even of one that nobody reads.
func TestPeerCloses(t *testing.T) {
	for service := range services {
		p, c := dialPeer(t, service)
		ended := make(chan error, 1)
		go func() { ended <- p.close() }()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Fatal("a peer with a connection does not end")
		}
		if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a connection is left")
		}
		if _, err := net.Dial("tcp", c.RemoteAddr().String()); err == nil {
			t.Error("a port is left")
		}
	}
}

// A peer takes no more connections than it has room for, and goes on with them.
func TestPeerIsBounded(t *testing.T) {
	p, first := dialPeer(t, echoService)
	defer p.close()
	for range maxConns + 4 {
		c, err := net.Dial("tcp", first.RemoteAddr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	if _, err := first.Write([]byte{1}); err != nil {
		t.Fatal(err)
	}
	if _, err := first.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.conns) > maxConns {
		t.Errorf("%d connections are open", len(p.conns))
	}
}

// A VM's network comes with the VM: its peer is there before.
func TestPeerAtAnAddressToCome(t *testing.T) {
	hosts := make(peers)
	one, err := hosts.at(t.Context(), "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	if again, err := hosts.at(context.Background(), "192.0.2.1"); err != nil || again != one {
		t.Errorf("a second server at the same address: %v", err)
	}
	if _, err := hosts.at(t.Context(), "nowhere"); err == nil {
		t.Error("a server is nowhere")
	}
	if err := hosts.close(); err != nil {
		t.Error(err)
	}
}
