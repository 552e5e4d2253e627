package user

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"

	virtionet "microvm/devices/virtio/net"
)

const megabyte = 1 << 20

// eachGuest runs a test with guests that differ in what they leave to the device.
func eachGuest(t *testing.T, test func(t *testing.T, mtu int, offloads virtionet.Offloads)) {
	for _, c := range []struct {
		name     string
		mtu      int
		offloads virtionet.Offloads
	}{
		{"offloads", 1500, allOffloads},
		{"checksums only", 1500, virtionet.Offloads{Checksum: true}},
		{"none", 1500, noOffloads},
		{"large MTU", maxMTU, allOffloads},
	} {
		t.Run(c.name, func(t *testing.T) { test(t, c.mtu, c.offloads) })
	}
}

// A closeWriter is a connection whose one direction can end before the other.
type closeWriter interface {
	io.Writer
	CloseWrite() error
}

// sendRandom sends size bytes and their end, and returns their hash.
func sendRandom(c closeWriter, size int) ([]byte, error) {
	h := sha256.New()
	random := rand.NewChaCha8([32]byte{byte(size)})
	if _, err := io.Copy(c, io.TeeReader(io.LimitReader(random, int64(size)), h)); err != nil {
		return nil, err
	}
	return h.Sum(nil), c.CloseWrite()
}

func TestStreamBothWays(t *testing.T) {
	eachGuest(t, func(t *testing.T, mtu int, offloads virtionet.Offloads) {
		size := 8 * megabyte
		if offloads == allOffloads && mtu == defaultMTU && !testing.Short() {
			size = 100 * megabyte
		}
		n := mustNew(t, Config{MTU: mtu, HostAccess: true})
		g := connectGuest(t, n, mtu, offloads)

		hostSent, hostGot := make(chan []byte, 1), make(chan []byte, 1)
		server := hostServer(t, func(c *net.TCPConn) {
			var both sync.WaitGroup
			both.Go(func() {
				sum, err := sendRandom(c, size)
				if err != nil {
					t.Errorf("the host's sending: %v", err)
				}
				hostSent <- sum
			})
			both.Go(func() { hostGot <- readAll(t, c) })
			both.Wait()
		})
		c := g.mustDial(t, server)
		var guestSent []byte
		var sending sync.WaitGroup
		sending.Go(func() {
			var err error
			if guestSent, err = sendRandom(c, size+1); err != nil {
				t.Errorf("the guest's sending: %v", err)
			}
		})
		guestGot := readAll(t, c)
		sending.Wait()
		if string(guestGot) != string(<-hostSent) {
			t.Error("the guest received other bytes than the host sent")
		}
		if string(<-hostGot) != string(guestSent) {
			t.Error("the host received other bytes than the guest sent")
		}
		if d := n.Stats(); d.DroppedFromGuest != 0 {
			t.Errorf("%d frames of the guest were dropped", d.DroppedFromGuest)
		}
	})
}

// readAll returns the hash of what c sends until its end.
func readAll(t *testing.T, c io.Reader) []byte {
	h := sha256.New()
	if _, err := io.Copy(hashOnly{h}, c); err != nil {
		t.Errorf("reading: %v", err)
	}
	return h.Sum(nil)
}

// hashOnly hides what else a hash can do from io.Copy.
type hashOnly struct{ hash.Hash }

// Each side ends its direction while the other still sends.
func TestHalfClose(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)

	server := hostServer(t, func(c *net.TCPConn) {
		question, _ := io.ReadAll(c)
		fmt.Fprintf(c, "you said %s", question)
	})
	c := g.mustDial(t, server)
	io.WriteString(c, "hello")
	c.CloseWrite()
	answer, err := io.ReadAll(c)
	if err != nil || string(answer) != "you said hello" {
		t.Errorf("after the guest's end it reads %q, %v", answer, err)
	}

	received := make(chan string, 1)
	server = hostServer(t, func(c *net.TCPConn) {
		io.WriteString(c, "speak")
		c.CloseWrite()
		answer, _ := io.ReadAll(c)
		received <- string(answer)
	})
	c = g.mustDial(t, server)
	if prompt, err := io.ReadAll(c); err != nil || string(prompt) != "speak" {
		t.Errorf("the guest reads %q, %v", prompt, err)
	}
	io.WriteString(c, "after your end")
	c.Close()
	if got := <-received; got != "after your end" {
		t.Errorf("after its end the host reads %q", got)
	}
}

func TestReset(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)

	t.Run("by the host", func(t *testing.T) {
		server := hostServer(t, func(c *net.TCPConn) {
			io.ReadFull(c, make([]byte, 1))
			c.SetLinger(0)
		})
		c := g.mustDial(t, server)
		c.Write([]byte{1})
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("the guest reads: %v, not a reset", err)
		}
	})
	t.Run("by the guest", func(t *testing.T) {
		failed := make(chan error, 1)
		server := hostServer(t, func(c *net.TCPConn) {
			c.Write(make([]byte, 100))
			_, err := io.Copy(io.Discard, c)
			failed <- err
		})
		c := g.mustDial(t, server)
		io.ReadFull(c, make([]byte, 1))
		c.Close() // with bytes unread, which is a reset
		if err := <-failed; err == nil || !strings.Contains(err.Error(), "reset") {
			t.Errorf("the host reads: %v, not a reset", err)
		}
	})
}

func TestRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closedPort := portOf(l.Addr())
	l.Close()

	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	if _, err := g.dial(netip.AddrPortFrom(gateway, closedPort)); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a closed port of the host: %v", err)
	}
}

// hostAddress returns an address of the host's that is no loopback address.
func hostAddress(t *testing.T) netip.Addr {
	t.Helper()
	// Routing tells without a packet sent.
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		need(t, "this host has no route to other networks, and so no address in one")
	}
	defer c.Close()
	return netip.MustParseAddrPort(c.LocalAddr().String()).Addr()
}

// need skips the test for want of what the host does not have.
func need(t *testing.T, missing string) {
	t.Helper()
	if os.Getenv("MICROVM_NOSKIP") != "" {
		t.Fatalf("missing, and MICROVM_NOSKIP is set: %s", missing)
	}
	t.Skip("SKIP: " + missing)
}

// An interface of the host may have several addresses, and whole networks may be
// the host's.
func TestEveryAddressOfTheHost(t *testing.T) {
	runtime.LockOSThread() // which ends with the test, and the namespace with it
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need(t, "CAP_SYS_ADMIN, for a network namespace: "+err.Error())
	}
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range []string{"192.0.2.1/25", "192.0.2.2/25"} {
		addr, err := netlink.ParseAddr(a)
		if err == nil {
			err = netlink.AddrAdd(lo, addr)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		t.Fatal(err)
	}
	n := &Network{}
	for _, a := range []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"} {
		_, err := n.reach(netip.AddrPortFrom(netip.MustParseAddr(a), 22))
		if err == nil || !strings.Contains(err.Error(), "is the host") {
			t.Errorf("%s: %v", a, err)
		}
	}
	if _, err := n.reach(netip.MustParseAddrPort("192.0.2.200:22")); err == nil || !strings.Contains(err.Error(), "no route to") {
		t.Errorf("an address without a route: %v", err)
	}
}

func TestHostOutOfReach(t *testing.T) {
	l, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := portOf(l.Addr())
	n := mustNew(t, Config{})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	for _, a := range []string{"10.0.2.2", "10.0.2.3", "10.0.2.77", "0.0.0.0", "127.0.0.1", "127.1.2.3", hostAddress(t).String()} {
		to := netip.AddrPortFrom(netip.MustParseAddr(a), port)
		if host, err := n.reach(to); err == nil {
			t.Errorf("the guest reaches %v as %v", to, host)
		}
		if a == "0.0.0.0" || strings.HasPrefix(a, "127.") {
			continue // the fake guest does not send to these
		}
		if c, err := g.dial(to); err == nil {
			c.Close()
			t.Errorf("the guest connected to %v", to)
		}
	}
}

func TestHostInReachWhenAsked(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	for to, want := range map[string]string{
		"10.0.2.2:80":                   "127.0.0.1:80",
		hostAddress(t).String() + ":80": hostAddress(t).String() + ":80",
	} {
		if host, err := n.reach(netip.MustParseAddrPort(to)); err != nil || host.String() != want {
			t.Errorf("%s is %v, %v; want %s", to, host, err, want)
		}
	}
	for _, never := range []string{"127.0.0.1:80", "0.0.0.0:80", "224.0.0.1:80", "255.255.255.255:80", "10.0.2.3:80"} {
		if host, err := n.reach(netip.MustParseAddrPort(never)); err == nil {
			t.Errorf("%s is %v", never, host)
		}
	}
}

// Of many connections only so many may buffer much.
func TestBuffersOfManyStreams(t *testing.T) {
	n := mustNew(t, Config{})
	sizes := func() (send, receive int64) {
		s := stream{events: new(waiter.Queue)}
		var err tcpip.Error
		if s.Endpoint, err = n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, s.events); err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		n.limit(s)
		return s.SocketOptions().GetSendBufferSize(), s.SocketOptions().GetReceiveBufferSize()
	}
	for open := 1; open <= fewStreams+1; open++ {
		n.takeSlot()
		want := int64(bufferDefault)
		if open > fewStreams {
			want = bufferMany
		}
		if send, receive := sizes(); send != want || receive != want {
			t.Errorf("connection %d has buffers of %d and %d bytes, want %d", open, send, receive, want)
		}
	}
}

func TestManyStreams(t *testing.T) {
	const streams = 500
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	server := echoServer(t)
	var all sync.WaitGroup
	open := make(chan struct{}, streams)
	closeAll := make(chan struct{})
	for i := range streams {
		all.Go(func() {
			c, err := g.dial(server)
			open <- struct{}{}
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			defer c.Close()
			message := strings.Repeat(fmt.Sprint(i, " "), 1000)
			go io.WriteString(c, message)
			got := make([]byte, len(message))
			if _, err := io.ReadFull(c, got); err != nil || string(got) != message {
				t.Errorf("connection %d: another echo, %v", i, err)
			}
			<-closeAll
		})
	}
	for range streams {
		<-open
	}
	if got := n.Stats().Connections; got != streams {
		t.Errorf("%d connections are open, not %d", got, streams)
	}
	close(closeAll)
	all.Wait()
	waitFor(t, "all connections to end", func() bool { return n.Stats().Connections == 0 })
}

func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waiting for %s", what)
		}
	}
}

func TestForwardTCP(t *testing.T) {
	n := mustNew(t, Config{Forwards: []Forward{{"tcp", netip.MustParseAddrPort("127.0.0.1:0"), netip.AddrPortFrom(guest, 80)}}})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	l, err := gonet.ListenTCP(g.Stack, fullAddress(netip.AddrPortFrom(guest, 80)), ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		c, err := l.Accept()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if from := netip.MustParseAddrPort(c.RemoteAddr().String()); from.Addr() != gateway {
			t.Errorf("the connection comes from %v", from)
		}
		io.Copy(c, c)
	})
	defer serving.Wait()
	c, err := net.Dial("tcp", n.listening[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want, err := sendRandom(c.(*net.TCPConn), 100000)
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, c); string(got) != string(want) {
		t.Error("the guest's echo differs")
	}
}

// A port that leads nowhere resets those who connect.
func TestForwardToNobody(t *testing.T) {
	n := mustNew(t, Config{Forwards: []Forward{{"tcp", netip.MustParseAddrPort("127.0.0.1:0"), netip.AddrPortFrom(guest, 80)}}})
	connectGuest(t, n, defaultMTU, allOffloads)
	c, err := net.Dial("tcp", n.listening[0].String())
	if err == nil { // else the reset was there first
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if err == nil || !strings.Contains(err.Error(), "reset") {
		t.Errorf("a port that nobody listens at in the guest: %v", err)
	}
}

// Close ends what is open in any state, and waits for it.
func TestCloseWithOpenStreams(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	ended := make(chan struct{})
	server := hostServer(t, func(c *net.TCPConn) {
		io.Copy(io.Discard, c)
		close(ended)
	})
	c := g.mustDial(t, server)
	c.Write([]byte{1})
	n.Close()
	<-ended
	if got := n.Stats().Connections; got != 0 {
		t.Errorf("%d connections are open after Close", got)
	}
}
