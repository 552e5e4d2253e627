package user

import (
	"errors"
	"net"
	"net/netip"
)

func (n *Network) forwardUDP(f Forward) error {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(f.Host))
	if err != nil {
		return err
	}
	n.listening = append(n.listening, conn.LocalAddr())
	n.closers = append(n.closers, conn.Close)
	n.run(func() {
		datagram := make([]byte, maxDatagram)
		for {
			size, from, err := conn.ReadFromUDPAddrPort(datagram)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				continue // of an earlier datagram that a peer did not want
			}
			if id, ok := n.flows.ofPeer(udpPeer{conn, from}, f.Guest); ok {
				n.sendUDP(id.remote, id.guest, datagram[:size])
			}
		}
	})
	return nil
}

// A udpPeer is who sends to a forwarded port. Its datagrams come to the guest
// from a port of the gateway's, so that the guest can tell peers apart.
type udpPeer struct {
	conn *net.UDPConn // of the forwarded port
	addr netip.AddrPort
}

func (p udpPeer) send(datagram []byte) { p.conn.WriteToUDPAddrPort(datagram, p.addr) }

// Close does nothing: the port stays open.
func (p udpPeer) Close() error { return nil }
