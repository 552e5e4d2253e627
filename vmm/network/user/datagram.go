package user

import (
	"net"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
)

// maxDatagram is the size in bytes of the largest payload of IPv4.
const maxDatagram = maxPacket - header.IPv4MinimumSize

// handleUDP takes a UDP datagram of the guest's, on the goroutine that brought
// it. If it reports false, the guest is told that the port is unreachable.
func (n *Network) handleUDP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	from, to := addrPort(id.RemoteAddress, id.RemotePort), addrPort(id.LocalAddress, id.LocalPort)
	// Bytes after the datagram's length are not of it (RFC 768).
	length := int(header.UDP(pkt.TransportHeader().Slice()).Length()) - header.UDPMinimumSize
	datagram := pkt.Data().AsRange().ToSlice()
	if length < 0 || length > len(datagram) {
		return true
	}
	datagram = datagram[:length]
	if to.Port() == dhcpServerPort {
		n.handleDHCP(datagram)
		return true
	}
	dial := func() (net.Conn, error) {
		host, err := n.reach(to)
		if err != nil {
			return nil, err
		}
		return net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(host))
	}
	reply := func(datagram []byte) { n.sendUDP(to, from, datagram) }
	return n.forward(flowID{header.UDPProtocolNumber, from, to}, datagram, dial, reply)
}

// handleICMP takes an ICMP packet of the guest's. An echo request that is not for
// us goes out by a socket of the host's; the stack answers only for itself.
func (n *Network) handleICMP(id stack.TransportEndpointID, pkt *stack.PacketBuffer) bool {
	to := addrPort(id.LocalAddress, 0)
	if to.Addr() == gateway || to.Addr() == dns {
		return false
	}
	payload := stack.PayloadSince(pkt.TransportHeader())
	defer payload.Release()
	echo := header.ICMPv4(payload.AsSlice())
	if len(echo) < header.ICMPv4MinimumSize || echo.Type() != header.ICMPv4Echo {
		return false
	}
	ident := echo.Ident()
	from := addrPort(id.RemoteAddress, ident)
	reply := func(echo []byte) {
		if h := header.ICMPv4(echo); len(h) >= header.ICMPv4MinimumSize {
			h.SetIdent(ident) // the host's kernel chose its own
			n.sendEchoReply(to.Addr(), from.Addr(), h)
		}
	}
	dial := func() (net.Conn, error) {
		host, err := n.reach(to)
		if err != nil {
			return nil, err
		}
		return n.dialPing(host.Addr())
	}
	n.forward(flowID{header.ICMPv4ProtocolNumber, from, to}, echo, dial, reply)
	return true
}

// sendUDP sends the guest a datagram.
func (n *Network) sendUDP(from, to netip.AddrPort, datagram []byte) {
	n.sendIP(from.Addr(), to.Addr(), header.UDPProtocolNumber, datagram, func(r *stack.Route, pkt *stack.PacketBuffer) {
		udp := header.UDP(pkt.TransportHeader().Push(header.UDPMinimumSize))
		length := uint16(pkt.Size())
		udp.Encode(&header.UDPFields{SrcPort: from.Port(), DstPort: to.Port(), Length: length})
		sum := r.PseudoHeaderChecksum(header.UDPProtocolNumber, length)
		if sum = ^udp.CalculateChecksum(checksum.Combine(sum, pkt.Data().Checksum())); sum == 0 {
			sum = 0xffff // 0 would say that there is no checksum (RFC 768)
		}
		udp.SetChecksum(sum)
	})
}

// sendEchoReply sends the guest an ICMP packet that the host received.
func (n *Network) sendEchoReply(from, to netip.Addr, echo header.ICMPv4) {
	n.sendIP(from, to, header.ICMPv4ProtocolNumber, echo[header.ICMPv4MinimumSize:], func(_ *stack.Route, pkt *stack.PacketBuffer) {
		h := header.ICMPv4(pkt.TransportHeader().Push(header.ICMPv4MinimumSize))
		copy(h, echo)
		h.SetChecksum(0)
		h.SetChecksum(header.ICMPv4Checksum(h, pkt.Data().Checksum()))
	})
}

// sendIP sends the guest a packet; push puts the transport header before its
// payload.
func (n *Network) sendIP(from, to netip.Addr, protocol tcpip.TransportProtocolNumber, payload []byte, push func(*stack.Route, *stack.PacketBuffer)) {
	r, terr := n.stack.FindRoute(nicID, address(from), address(to), ipv4.ProtocolNumber, false)
	if terr != nil {
		return // the network is being closed
	}
	defer r.Release()
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: int(r.MaxHeaderLength()) + header.UDPMinimumSize,
		Payload:            buffer.MakeWithData(payload),
	})
	defer pkt.DecRef()
	pkt.TransportProtocolNumber = protocol
	push(r, pkt)
	r.WritePacket(stack.NetworkHeaderParams{Protocol: protocol, TTL: 64}, pkt)
}

// dialed is a flow's own connected socket.
type dialed struct{ net.Conn }

func (d dialed) send(datagram []byte) {
	raw, err := d.Conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return
	}
	raw.Write(func(fd uintptr) bool {
		unix.Write(int(fd), datagram)
		return true // sent or not, it does not wait
	})
}

// dialPing opens a socket for echo requests, which Linux permits to the groups
// of the sysctl net.ipv4.ping_group_range, and answers with errors for others.
func dialPing(to netip.Addr) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.IPPROTO_ICMP)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "ping")
	defer file.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}
