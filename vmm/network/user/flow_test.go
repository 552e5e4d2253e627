package user

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/icmp"
	"gvisor.dev/gvisor/pkg/waiter"

	"microvm/devices/virtio"
)

// hostUDP answers each datagram on the host with what answer makes of it. It
// returns where the host finds it.
func hostUDP(t testing.TB, answer func(string) string) netip.AddrPort {
	t.Helper()
	c, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for datagram := make([]byte, maxDatagram); ; {
			size, from, err := c.ReadFromUDPAddrPort(datagram)
			if err != nil {
				return
			}
			c.WriteToUDPAddrPort([]byte(answer(string(datagram[:size]))), from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-done })
	return netip.MustParseAddrPort(c.LocalAddr().String())
}

func ask(t testing.TB, c net.Conn, question string) string {
	t.Helper()
	if _, err := c.Write([]byte(question)); err != nil {
		t.Fatalf("asking: %v", err)
	}
	answer := make([]byte, maxDatagram)
	size, err := c.Read(answer)
	if err != nil {
		t.Fatalf("no answer to %.20q: %v", question, err)
	}
	return string(answer[:size])
}

func TestUDP(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, noOffloads)
	server := netip.AddrPortFrom(gateway, hostUDP(t, func(s string) string { return s + "!" }).Port())
	c := g.mustDialUDP(t, server)
	for _, question := range []string{"", "a", "abc", strings.Repeat("x", 1400), strings.Repeat("more than one packet ", 1000)} {
		if got := ask(t, c, question); got != question+"!" {
			t.Errorf("the answer to %d bytes has %d", len(question), len(got))
		}
	}
	if got := n.Stats().Flows; got != 1 {
		t.Errorf("%d flows are open, not 1", got)
	}
}

func TestUDPUnreachable(t *testing.T) {
	n := mustNew(t, Config{})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	c := g.mustDialUDP(t, netip.AddrPortFrom(gateway, 9))
	c.Write([]byte("x"))
	unreachable := g.Stats().ICMP.V4.PacketsReceived.DstUnreachable
	waitFor(t, "port unreachable", func() bool { return unreachable.Value() == 1 })
	if got := n.Stats().Refused; got != 1 {
		t.Errorf("%d were refused, not 1", got)
	}
	if want := (virtio.Property{Name: "connections and flows refused", Value: uint64(1)}); !slices.Contains(n.Describe(), want) {
		t.Errorf("described as %v, without %v", n.Describe(), want)
	}
}

// A flow that is used stays when there are too many, and the unused one ends.
func TestFlowLimit(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	server := netip.AddrPortFrom(gateway, hostUDP(t, func(s string) string { return s }).Port())
	for i := range flowLimit + 100 {
		c := g.mustDialUDP(t, server)
		ask(t, c, fmt.Sprint(i))
		c.Close()
	}
	if got := n.Stats().Flows; got != flowLimit {
		t.Errorf("%d flows are open, not %d", got, flowLimit)
	}
}

func TestOldestFlowEnds(t *testing.T) {
	var f flows
	f.open = make(map[flowID]*flow)
	defer f.close()
	key := func(i int) flowID { return flowID{guest: netip.AddrPortFrom(guest, uint16(i))} }
	for i := range flowLimit {
		f.add(key(i), udpPeer{})
	}
	f.use(key(0))
	f.add(key(flowLimit), udpPeer{})
	if f.use(key(0)) == nil || f.use(key(1)) != nil || f.use(key(2)) == nil {
		t.Error("another flow ended than the one unused for longest")
	}
}

func TestDNS(t *testing.T) {
	resolver := hostUDP(t, func(s string) string { return "answer to " + s })
	n := mustNew(t, Config{DNS: resolver})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	if got := ask(t, g.mustDialUDP(t, netip.AddrPortFrom(dns, 53)), "question"); got != "answer to question" {
		t.Errorf("the resolver says %q", got)
	}
	other := g.mustDialUDP(t, netip.AddrPortFrom(dns, resolver.Port()))
	other.Write([]byte("question"))
	unreachable := g.Stats().ICMP.V4.PacketsReceived.DstUnreachable
	waitFor(t, "another port than DNS to be unreachable", func() bool { return unreachable.Value() == 1 })
}

func TestHostResolver(t *testing.T) {
	for content, want := range map[string]string{
		"# none\nsearch example.org\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n": "192.0.2.53:53",
		"nameserver what\nnameserver 2001:db8::53\n":                                 "[2001:db8::53]:53",
		"options rotate\n": "",
	} {
		file := filepath.Join(t.TempDir(), "resolv.conf")
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := hostResolver(file)
		if (err == nil) != (want != "") || err == nil && got.String() != want {
			t.Errorf("%q: %v, %v; want %q", content, got, err, want)
		}
	}
}

func TestForwardUDP(t *testing.T) {
	n := mustNew(t, Config{Forwards: []Forward{{"udp", netip.MustParseAddrPort("127.0.0.1:0"), netip.AddrPortFrom(guest, 5353)}}})
	g := connectGuest(t, n, defaultMTU, allOffloads)
	local := fullAddress(netip.AddrPortFrom(guest, 5353))
	server, err := gonet.DialUDP(g.Stack, &local, nil, ipv4.ProtocolNumber)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for datagram := make([]byte, 1500); ; {
			size, from, err := server.ReadFrom(datagram)
			if err != nil {
				return
			}
			server.WriteTo([]byte(fmt.Sprintf("%s from %v", datagram[:size], from)), from)
		}
	}()
	defer func() { server.Close(); <-done }()

	answers := make(map[string]bool)
	for range 2 {
		c, err := net.Dial("udp", n.listening[0].String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(20 * time.Second))
		first, second := ask(t, c, "hello"), ask(t, c, "hello")
		if first != second || !strings.HasPrefix(first, "hello from 10.0.2.2:") {
			t.Errorf("the guest answers %q, then %q", first, second)
		}
		answers[first] = true
	}
	if len(answers) != 2 {
		t.Errorf("two peers are one to the guest: %v", answers)
	}
}

// ping sends an echo request from the guest and returns the payload of the reply,
// or an error if there is none for a while.
func (g *fakeGuest) ping(t testing.TB, to netip.Addr, payload string, patience time.Duration) (string, error) {
	t.Helper()
	var events waiter.Queue
	ep, terr := g.NewEndpoint(icmp.ProtocolNumber4, ipv4.ProtocolNumber, &events)
	if terr != nil {
		t.Fatal(terr)
	}
	defer ep.Close()
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents)
	events.EventRegister(&entry)
	defer events.EventUnregister(&entry)
	request := make(header.ICMPv4, header.ICMPv4MinimumSize, header.ICMPv4MinimumSize+len(payload))
	request.SetType(header.ICMPv4Echo)
	request.SetSequence(7)
	remote := fullAddress(netip.AddrPortFrom(to, 0))
	if _, terr := ep.Write(strings.NewReader(string(request)+payload), tcpip.WriteOptions{To: &remote}); terr != nil {
		t.Fatal(terr)
	}
	select {
	case <-readable:
	case <-time.After(patience):
		return "", os.ErrDeadlineExceeded
	}
	var reply strings.Builder
	r, terr := ep.Read(&reply, tcpip.ReadOptions{NeedRemoteAddr: true})
	if terr != nil {
		t.Fatal(terr)
	}
	h := header.ICMPv4(reply.String())
	if h.Type() != header.ICMPv4EchoReply || h.Sequence() != 7 || r.RemoteAddr.Addr != address(to) {
		t.Errorf("the reply is of type %d, sequence %d, from %v", h.Type(), h.Sequence(), r.RemoteAddr.Addr)
	}
	return reply.String()[header.ICMPv4MinimumSize:], nil
}

func TestPingOfGateway(t *testing.T) {
	n := mustNew(t, Config{})
	g := connectGuest(t, n, defaultMTU, noOffloads)
	for _, a := range []netip.Addr{gateway, dns} {
		if got, err := g.ping(t, a, "are you there?", 20*time.Second); err != nil || got != "are you there?" {
			t.Errorf("%v answers %q, %v", a, got, err)
		}
	}
}

// Another host is pinged by a socket of the host's, whose kernel chooses the
// identifier; here a UDP socket stands for it, and its peer for the other host.
func TestPingOfOthers(t *testing.T) {
	other := hostUDP(t, func(request string) string {
		reply := header.ICMPv4(request)
		reply.SetType(header.ICMPv4EchoReply)
		reply.SetIdent(reply.Ident() + 1)
		return string(reply)
	})
	n := mustNew(t, Config{HostAccess: true})
	pinged := netip.MustParseAddr("192.0.2.1")
	n.dialPing = func(a netip.Addr) (net.Conn, error) {
		if a != pinged {
			return nil, os.ErrPermission
		}
		return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(other))
	}
	g := connectGuest(t, n, defaultMTU, noOffloads)
	if got, err := g.ping(t, pinged, "hello", 20*time.Second); err != nil || got != "hello" {
		t.Errorf("another host answers %q, %v", got, err)
	}
	if got, err := g.ping(t, netip.MustParseAddr("192.0.2.2"), "hello", 100*time.Millisecond); err == nil {
		t.Errorf("a host that cannot be pinged answers %q", got)
	}
}
