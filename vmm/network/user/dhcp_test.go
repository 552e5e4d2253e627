package user

import (
	"net"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/transport/udp"
	"gvisor.dev/gvisor/pkg/waiter"
	"time"
)

// dhcpClient returns the guest's socket for DHCP: it hears broadcasts.
func dhcpClient(t *testing.T, g *fakeGuest) *gonet.UDPConn {
	t.Helper()
	var events waiter.Queue
	ep, terr := g.NewEndpoint(udp.ProtocolNumber, ipv4.ProtocolNumber, &events)
	if terr != nil {
		t.Fatal(terr)
	}
	ep.SocketOptions().SetBroadcast(true)
	if terr := ep.Bind(tcpip.FullAddress{NIC: nicID, Port: dhcpClientPort}); terr != nil {
		t.Fatal(terr)
	}
	c := gonet.NewUDPConn(&events, ep)
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return c
}

func exchange(t *testing.T, c net.PacketConn, to net.IP, request *dhcpv4.DHCPv4) *dhcpv4.DHCPv4 {
	t.Helper()
	if _, err := c.WriteTo(request.ToBytes(), &net.UDPAddr{IP: to, Port: dhcpServerPort}); err != nil {
		t.Fatal(err)
	}
	datagram := make([]byte, 1500)
	size, _, err := c.ReadFrom(datagram)
	if err != nil {
		t.Fatalf("no answer to %v: %v", request.MessageType(), err)
	}
	reply, err := dhcpv4.FromBytes(datagram[:size])
	if err != nil {
		t.Fatal(err)
	}
	if reply.TransactionID != request.TransactionID {
		t.Errorf("the answer to %v is of another transaction", request.MessageType())
	}
	return reply
}

func TestDHCP(t *testing.T) {
	n := mustNew(t, Config{MTU: 9000})
	g := connectGuest(t, n, 9000, noOffloads)
	c := dhcpClient(t, g)
	discover, err := dhcpv4.NewDiscovery(net.HardwareAddr(guestMAC))
	if err != nil {
		t.Fatal(err)
	}
	offer := exchange(t, c, net.IPv4bcast, discover)
	if offer.MessageType() != dhcpv4.MessageTypeOffer {
		t.Fatalf("the answer to DISCOVER is %v", offer.MessageType())
	}
	request, err := dhcpv4.NewRequestFromOffer(offer)
	if err != nil {
		t.Fatal(err)
	}
	ack := exchange(t, c, net.IPv4bcast, request)
	if ack.MessageType() != dhcpv4.MessageTypeAck {
		t.Fatalf("the answer to REQUEST is %v", ack.MessageType())
	}
	mtu := ack.Options.Get(dhcpv4.OptionInterfaceMTU)
	for what, pair := range map[string][2]string{
		"address": {ack.YourIPAddr.String(), "10.0.2.15"},
		"mask":    {ack.SubnetMask().String(), "ffffff00"},
		"router":  {ack.Router()[0].String(), "10.0.2.2"},
		"DNS":     {ack.DNS()[0].String(), "10.0.2.3"},
		"server":  {ack.ServerIdentifier().String(), "10.0.2.2"},
		"MTU":     {net.IP(mtu).String(), net.IP{9000 >> 8, 9000 & 0xff}.String()},
		"lease":   {ack.IPAddressLeaseTime(0).String(), "24h0m0s"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}

	renewal, err := dhcpv4.NewRenewFromAck(ack)
	if err != nil {
		t.Fatal(err)
	}
	if r := exchange(t, c, net.IPv4(10, 0, 2, 2), renewal); r.MessageType() != dhcpv4.MessageTypeAck {
		t.Errorf("the answer to a renewal is %v", r.MessageType())
	}
	request.UpdateOption(dhcpv4.OptRequestedIPAddress(net.IPv4(192, 168, 1, 5)))
	if r := exchange(t, c, net.IPv4bcast, request); r.MessageType() != dhcpv4.MessageTypeNak {
		t.Errorf("the answer to a request for another network's address is %v", r.MessageType())
	}
}
