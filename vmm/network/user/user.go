// Package user connects one guest to the host's network without any privilege:
// the guest's frames end in a TCP/IP stack inside the monitor (gVisor's
// netstack), and what the guest asks of it is done with the host's own sockets.
//
//	guest ── frames ── link ── netstack ─┬─ TCP ──────── relay ─── host's sockets
//	                                     ├─ UDP, ping ── flows ─── host's sockets
//	                                     └─ DHCP
//
// The guest finds itself in a network of its own:
//
//	10.0.2.2    the gateway; answers ping. With Config.HostAccess it is the
//	            host's 127.0.0.1, else nothing listens there
//	10.0.2.3    the host's DNS resolver, UDP and TCP
//	10.0.2.15   the guest, told so by DHCP
//
// Every other IPv4 address is the one that the host would reach, except the
// host's own, which need HostAccess, and loopback addresses, which the guest
// never reaches. There is no IPv6.
//
// All that the guest can make large is bounded: see streamLimit, fewStreams,
// flowLimit and frameLimit.
package user

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
)

// The guest's network.
var (
	network = netip.MustParsePrefix("10.0.2.0/24")
	gateway = netip.MustParseAddr("10.0.2.2")
	dns     = netip.MustParseAddr("10.0.2.3")
	guest   = netip.MustParseAddr("10.0.2.15")
)

// gatewayMAC is a locally administered address.
const gatewayMAC = tcpip.LinkAddress("\x52\x55\x0a\x00\x02\x02")

// Bytes of an IP packet: what every host must take (RFC 791), and the largest
// that leaves room for its Ethernet header in 64 KiB.
const (
	minMTU     = 576
	defaultMTU = 1500
	maxMTU     = 65520
)

// Config says what the guest's network is like. The zero Config is valid.
type Config struct {
	MTU        int            // bytes of an IP packet, 576 to 65520; 0 means 1500
	DNS        netip.AddrPort // the resolver behind 10.0.2.3; if not valid, the first of /etc/resolv.conf
	HostAccess bool           // the guest may reach the host: 10.0.2.2 is 127.0.0.1
	Forwards   []Forward      // ports of the host that lead to the guest
}

// Check returns what is wrong with c that can be seen without the host.
func (c *Config) Check() error {
	if c.MTU != 0 && (c.MTU < minMTU || c.MTU > maxMTU) {
		return fmt.Errorf("an mtu of %d; in a user network it must be from %d to %d", c.MTU, minMTU, maxMTU)
	}
	return nil
}

// A Network is the network of one guest, and the backend of its network device.
type Network struct {
	config   Config
	stack    *stack.Stack
	link     *link
	flows    flows
	slots    chan struct{} // one for each TCP connection; see streamLimit
	refused  atomic.Uint64 // see Stats.Refused
	dialPing func(netip.Addr) (net.Conn, error)

	ctx    context.Context // done when the network closes
	cancel context.CancelFunc

	mu      sync.Mutex // guards closed, and owned.Add against owned.Wait
	closed  bool
	owned   sync.WaitGroup
	closers []func() error // of the host's listeners

	listening []net.Addr // where they listen
}

// New starts the network, with its forwarded ports open. Its errors are the
// user's: an MTU out of range, a port in use or not permitted.
func New(c Config) (*Network, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("network: %w", err)
	}
	if c.MTU == 0 {
		c.MTU = defaultMTU
	}
	n := &Network{
		config:   c,
		link:     newLink(c.MTU, gatewayMAC),
		slots:    make(chan struct{}, streamLimit),
		dialPing: dialPing,
	}
	n.ctx, n.cancel = context.WithCancel(context.Background())
	n.flows.open, n.flows.peers = make(map[flowID]*flow), make(map[udpPeer]flowID)
	n.link.ignore = asksForNobody
	n.stack = newStack(n.link)
	n.answer()
	if err := n.listen(); err != nil {
		n.Close()
		return nil, err
	}
	return n, nil
}

const nicID = 1

// newStack returns a stack with one interface on which it is the gateway, takes
// packets to any address, and sends from any.
func newStack(l *link) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol, arp.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol, udp.NewProtocol, icmp.NewProtocol4},
	})
	tuneTCP(s)
	must(s.CreateNIC(nicID, ethernet.New(l)))
	must(s.SetPromiscuousMode(nicID, true))
	must(s.SetSpoofing(nicID, true))
	for _, a := range []netip.Addr{gateway, dns} {
		peb := stack.NeverPrimaryEndpoint
		if a == gateway {
			peb = stack.CanBePrimaryEndpoint // the source of forwarded connections
		}
		must(s.AddProtocolAddress(nicID, tcpip.ProtocolAddress{
			Protocol:          ipv4.ProtocolNumber,
			AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: network.Bits()},
		}, stack.AddressProperties{PEB: peb}))
	}
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nicID}})
	return s
}

// asksForNobody reports whether a frame is an ARP request for an address that
// nobody has. A stack that takes packets to any address would answer for all, and
// a guest that makes sure that its address is its own would find it taken.
func asksForNobody(frame []byte) bool {
	if header.Ethernet(frame).Type() != header.ARPProtocolNumber {
		return false
	}
	arp := header.ARP(frame[header.EthernetMinimumSize:])
	if !arp.IsValid() {
		return true
	}
	target := addrPort(tcpip.AddrFrom4Slice(arp.ProtocolAddressTarget()), 0).Addr()
	return target != gateway && target != dns && arp.Op() == header.ARPRequest
}

// answer sets what happens to the packets of the guest.
func (n *Network) answer() {
	streams := tcp.NewForwarder(n.stack, 0, pendingStreams, n.accept)
	n.stack.SetTransportProtocolHandler(tcp.ProtocolNumber, streams.HandlePacket)
	n.stack.SetTransportProtocolHandler(udp.ProtocolNumber, n.handleUDP)
	n.stack.SetTransportProtocolHandler(icmp.ProtocolNumber4, n.handleICMP)
}

// must holds for calls whose errors are mistakes in this package.
func must(err tcpip.Error) {
	if err != nil {
		panic("network: " + err.String())
	}
}

func address(a netip.Addr) tcpip.Address { return tcpip.AddrFromSlice(a.AsSlice()) }

func addrPort(a tcpip.Address, port uint16) netip.AddrPort {
	ip, _ := netip.AddrFromSlice(a.AsSlice())
	return netip.AddrPortFrom(ip, port)
}

// enter reports whether the network is open; if so, Close waits for the caller's
// leave.
func (n *Network) enter() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if !n.closed {
		n.owned.Add(1)
	}
	return !n.closed
}

func (n *Network) leave() { n.owned.Done() }

// run calls f on a goroutine that Close waits for, unless the network is closed.
func (n *Network) run(f func()) bool {
	if !n.enter() {
		return false
	}
	go func() {
		defer n.leave()
		f()
	}()
	return true
}

// Close ends all connections and forwarded ports, and returns when nothing of
// the network runs any more.
func (n *Network) Close() error {
	n.mu.Lock()
	first := !n.closed
	n.closed = true
	n.mu.Unlock()
	if first {
		for _, c := range n.closers {
			c()
		}
		n.cancel()
		n.flows.close()
		// Without its interface the stack completes no further connection,
		// and those being made are ended by its Close.
		n.stack.RemoveNIC(nicID)
		n.stack.Close()
		n.link.shut()
	}
	n.owned.Wait()
	n.stack.Wait()
	return nil
}
