package user

import (
	"encoding/binary"
	"net/netip"
	"runtime"
	"testing"

	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// A guest that asks for connections and answers nothing gets so many and no more.
func TestFloodOfConnections(t *testing.T) {
	n := mustNew(t, Config{HostAccess: true})
	server := echoServer(t)
	n.Send(0, [][]byte{make([]byte, headerLen), arpRequest()})
	before := runtime.NumGoroutine()
	for port := range 20000 {
		n.Send(0, [][]byte{synTo(server, uint16(port))})
		if grown := runtime.NumGoroutine() - before; grown > 4*pendingStreams {
			t.Fatalf("%d goroutines after %d SYNs", grown, port)
		}
	}
	if got := n.Stats().Connections; got > pendingStreams {
		t.Errorf("%d connections are being made, more than %d", got, pendingStreams)
	}
	if dropped := n.stack.Stats().TCP.ForwardMaxInFlightDrop.Value(); dropped == 0 {
		t.Error("none of 20000 SYNs was left unanswered")
	}
	n.Close() // before the server waits for its connections to end
}

func synTo(server netip.AddrPort, port uint16) []byte {
	tcp := make(header.TCP, header.TCPMinimumSize)
	tcp.Encode(&header.TCPFields{SrcPort: port, DstPort: server.Port(), DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535})
	frame := ipFrame(header.TCPProtocolNumber, tcp)
	copy(frame[headerLen+14+16:], server.Addr().AsSlice())
	return frame
}

// The datagrams of a flood open no more flows than there may be.
func TestFloodOfDatagrams(t *testing.T) {
	n := mustNew(t, Config{DNS: hostUDP(t, func(s string) string { return s })})
	n.Send(0, [][]byte{make([]byte, headerLen), arpRequest()})
	for port := range 2 * flowLimit {
		query := ipFrame(header.UDPProtocolNumber, []byte{0, 0, 0, dnsPort, 0, 9, 0, 0, 'x'})
		copy(query[headerLen+14+16:], dns.AsSlice())
		binary.BigEndian.PutUint16(query[headerLen+14+20:], uint16(port+1))
		n.Send(0, [][]byte{query})
	}
	if got := n.Stats().Flows; got != flowLimit {
		t.Errorf("%d flows are open, not %d", got, flowLimit)
	}
}
