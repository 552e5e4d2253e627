package user

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

const (
	dhcpServerPort = 67
	dhcpClientPort = 68

	// leaseTime is long because the address is never given to anyone else.
	leaseTime = 24 * time.Hour
)

var broadcast = netip.AddrPortFrom(netip.MustParseAddr("255.255.255.255"), dhcpClientPort)

// handleDHCP answers the guest's DHCP client (RFC 2131). There is one guest, so
// there is one address, whoever asks.
func (n *Network) handleDHCP(datagram []byte) {
	request, err := dhcpv4.FromBytes(datagram)
	if err != nil || request.OpCode != dhcpv4.OpcodeBootRequest {
		return
	}
	kind := answerTo(request)
	if kind == dhcpv4.MessageTypeNone {
		return
	}
	reply, err := dhcpv4.NewReplyFromRequest(request, n.lease(kind)...)
	if err != nil {
		return
	}
	to := broadcast
	if renewing, ok := netip.AddrFromSlice(request.ClientIPAddr.To4()); ok && !renewing.IsUnspecified() {
		to = netip.AddrPortFrom(renewing, dhcpClientPort)
	}
	n.sendUDP(netip.AddrPortFrom(gateway, dhcpServerPort), to, reply.ToBytes())
}

// answerTo returns the type of the answer that a request gets, or none.
func answerTo(request *dhcpv4.DHCPv4) dhcpv4.MessageType {
	switch request.MessageType() {
	case dhcpv4.MessageTypeDiscover:
		return dhcpv4.MessageTypeOffer
	case dhcpv4.MessageTypeRequest:
		for _, asked := range [][]byte{request.RequestedIPAddress().To4(), request.ClientIPAddr.To4()} {
			a, ok := netip.AddrFromSlice(asked)
			if ok && !a.IsUnspecified() && a != guest {
				return dhcpv4.MessageTypeNak
			}
		}
		return dhcpv4.MessageTypeAck
	default:
		return dhcpv4.MessageTypeNone
	}
}

// lease is what an answer of the given type says.
func (n *Network) lease(kind dhcpv4.MessageType) []dhcpv4.Modifier {
	answer := []dhcpv4.Modifier{
		dhcpv4.WithMessageType(kind),
		dhcpv4.WithServerIP(gateway.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(gateway.AsSlice())),
	}
	if kind == dhcpv4.MessageTypeNak {
		return answer
	}
	return append(answer,
		dhcpv4.WithYourIP(guest.AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptSubnetMask(net.CIDRMask(network.Bits(), 32))),
		dhcpv4.WithOption(dhcpv4.OptRouter(gateway.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptDNS(dns.AsSlice())),
		dhcpv4.WithOption(dhcpv4.OptIPAddressLeaseTime(leaseTime)),
		dhcpv4.WithGeneric(dhcpv4.OptionInterfaceMTU, binary.BigEndian.AppendUint16(nil, uint16(n.config.MTU))),
	)
}
