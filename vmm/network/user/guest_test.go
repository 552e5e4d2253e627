package user

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"

	virtionet "microvm/devices/virtio/net"
)

var _ virtionet.Backend = (*Network)(nil)

// A fakeGuest is a second stack, on the other side of the network device.
type fakeGuest struct {
	*stack.Stack
	link *link
}

const headerLen = virtionet.HeaderSize

const guestMAC = tcpip.LinkAddress("\x52\x54\x00\x12\x34\x56")

var (
	allOffloads = virtionet.Offloads{Checksum: true, TSO4: true}
	noOffloads  = virtionet.Offloads{}
)

// connectGuest starts a guest with the address that DHCP would give it. It uses
// the offloads in both directions.
func connectGuest(t testing.TB, n virtionet.Backend, mtu int, offloads virtionet.Offloads) *fakeGuest {
	t.Helper()
	if err := n.SetOffloads(offloads); err != nil {
		t.Fatal(err)
	}
	g := &fakeGuest{link: newLink(mtu, guestMAC)}
	g.link.accepted.Store(&offloads)
	if !offloads.Checksum {
		g.link.LinkEPCapabilities = stack.CapabilityNone // it checks checksums
	}
	g.Stack = stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	tuneTCP(g.Stack)
	must(g.CreateNIC(nicID, ethernet.New(g.link)))
	must(g.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
		Protocol:          ipv4.ProtocolNumber,
		AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(guest), PrefixLen: network.Bits()},
	}, stack.AddressProperties{}))
	local, err := tcpip.NewSubnet(address(network.Addr()), tcpip.MaskFromBytes(net.CIDRMask(network.Bits(), 32)))
	if err != nil {
		t.Fatal(err)
	}
	g.SetRouteTable([]tcpip.Route{
		{Destination: local, NIC: nicID},
		{Destination: header.IPv4EmptySubnet, Gateway: address(gateway), NIC: nicID},
	})
	ctx, cancel := context.WithCancel(context.Background()) // t.Context ends before Cleanup
	var cable sync.WaitGroup
	cable.Go(func() { g.toNetwork(ctx, n) })
	cable.Go(func() { g.fromNetwork(ctx, n) })
	t.Cleanup(func() {
		g.RemoveNIC(nicID)
		g.Destroy()
		cancel()
		cable.Wait()
		g.link.shut()
	})
	return g
}

// toNetwork carries frames as a device does: in several parts of guest memory.
func (g *fakeGuest) toNetwork(ctx context.Context, n virtionet.Backend) {
	memory := make([]byte, headerLen+maxFrame)
	for g.link.wait(ctx) == nil {
		for size := g.link.receive([][]byte{memory}); size > 0; size = g.link.receive([][]byte{memory}) {
			n.Send(0, [][]byte{memory[:headerLen], memory[headerLen:min(64, size)], memory[min(64, size):size]})
			if n.Answers(0) {
				n.Wake(0)
			}
		}
	}
}

func (g *fakeGuest) fromNetwork(ctx context.Context, n virtionet.Backend) {
	memory := make([]byte, headerLen+maxFrame)
	for n.Wait(ctx, 0) == nil {
		for {
			size, err := n.Receive(0, [][]byte{memory[:100], memory[100:4096], memory[4096:]})
			if size == 0 || err != nil {
				break
			}
			g.link.send([][]byte{memory[:size]})
			if g.link.waiting() {
				g.link.notify()
			}
		}
	}
}

func fullAddress(a netip.AddrPort) tcpip.FullAddress {
	return tcpip.FullAddress{NIC: nicID, Addr: address(a.Addr()), Port: a.Port()}
}

func (g *fakeGuest) dial(to netip.AddrPort) (*gonet.TCPConn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return gonet.DialContextTCP(ctx, g.Stack, fullAddress(to), ipv4.ProtocolNumber)
}

func (g *fakeGuest) mustDial(t testing.TB, to netip.AddrPort) *gonet.TCPConn {
	t.Helper()
	c, err := g.dial(to)
	if err != nil {
		t.Fatalf("the guest's connection to %v: %v", to, err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func (g *fakeGuest) mustDialUDP(t testing.TB, to netip.AddrPort) *gonet.UDPConn {
	t.Helper()
	remote := fullAddress(to)
	c, err := gonet.DialUDP(g.Stack, nil, &remote, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func mustNew(t testing.TB, c Config) *Network {
	t.Helper()
	checkLeaks(t)
	n, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close() })
	return n
}

// checkLeaks fails a test that leaves goroutines behind.
func checkLeaks(t testing.TB) {
	before := goroutines()
	t.Cleanup(func() {
		deadline := time.Now().Add(5 * time.Second)
		for {
			left := slices.DeleteFunc(goroutines(), func(g string) bool {
				return slices.ContainsFunc(before, func(b string) bool { return id(b) == id(g) })
			})
			if len(left) == 0 {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("%d goroutines are left, among them:\n%s", len(left), left[0])
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	})
}

func goroutines() []string {
	stacks := make([]byte, 16<<20)
	return strings.Split(string(stacks[:runtime.Stack(stacks, true)]), "\n\n")
}

// id returns what a goroutine's trace begins with: its number.
func id(trace string) string {
	words := strings.Fields(trace)
	return words[1]
}

// hostServer listens on the host and calls serve for each connection. It returns
// where the guest finds it.
func hostServer(t testing.TB, serve func(*net.TCPConn)) netip.AddrPort {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer c.Close()
				serve(c.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() { l.Close(); serving.Wait() })
	return netip.AddrPortFrom(gateway, portOf(l.Addr()))
}

func portOf(a net.Addr) uint16 { return netip.MustParseAddrPort(a.String()).Port() }

// echoServer returns what it is sent, and the end of it.
func echoServer(t testing.TB) netip.AddrPort {
	return hostServer(t, func(c *net.TCPConn) { io.Copy(c, c) })
}

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
