package user

import (
	"encoding/binary"
	"net"
	"runtime"
	"testing"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

// The law: whatever frames a guest sends, nothing panics, and what they leave
// behind is bounded.
//
// An input is a number of frames, each after its length in two bytes.
func FuzzSend(f *testing.F) {
	discover, err := dhcpv4.NewDiscovery(net.HardwareAddr(guestMAC))
	if err != nil {
		f.Fatal(err)
	}
	udp := ipFrame(header.UDPProtocolNumber, append([]byte{0, 68, 0, 67, 0, 0, 0, 0}, discover.ToBytes()...))
	binary.BigEndian.PutUint16(udp[headerLen+14+20+4:], uint16(len(udp)-headerLen-14-20))
	syn := make(header.TCP, header.TCPMinimumSize)
	syn.Encode(&header.TCPFields{SrcPort: 1000, DstPort: 80, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagSyn, WindowSize: 65535})
	resolver := hostUDP(f, func(s string) string { return s })
	arp := append(make([]byte, headerLen), arpRequest()...)
	f.Add(joined(arp))
	f.Add(joined(arp, udp, udp))
	f.Add(joined(arp, ipFrame(header.TCPProtocolNumber, syn), ipFrame(header.TCPProtocolNumber, syn[:19])))
	f.Add(joined(arp, ipFrame(header.ICMPv4ProtocolNumber, []byte{8, 0, 0, 0, 0, 1, 0, 1, 'h', 'i'})))
	f.Add(joined(ipFrame(header.UDPProtocolNumber, []byte{0, 9, 0, 9, 0, 8, 0, 0}), ipFrame(header.UDPProtocolNumber, []byte{0, 9, 0, 9, 0, 7, 0, 0})))
	query := ipFrame(header.UDPProtocolNumber, []byte{0, 9, 0, dnsPort, 0, 9, 0, 0, 'x'})
	query[headerLen+14+19] = dns.As4()[3]
	f.Add(joined(arp, query, query))
	f.Fuzz(func(t *testing.T, input []byte) {
		n, err := New(Config{DNS: resolver})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		before := runtime.NumGoroutine()
		frames := 0
		for len(input) >= 2 {
			size := min(int(binary.BigEndian.Uint16(input)), len(input)-2)
			frame := input[2 : 2+size]
			input = input[2+size:]
			stayHere(frame)
			n.Send(0, [][]byte{frame[:size/2], frame[size/2:]})
			frames++
		}
		memory := make([]byte, headerLen+maxFrame)
		received := 0
		for {
			size, _ := n.Receive(0, [][]byte{memory})
			if size == 0 {
				break
			}
			received++
		}
		// Retransmissions and errors: a few for each frame.
		if received > 10*frames+10 {
			t.Errorf("%d frames were answered with %d", frames, received)
		}
		if s := n.Stats(); s.FramesFromGuest+s.DroppedFromGuest != uint64(frames) {
			t.Errorf("of %d frames, %d were taken and %d dropped", frames, s.FramesFromGuest, s.DroppedFromGuest)
		}
		if after := runtime.NumGoroutine(); after > before+pendingStreams+flowLimit {
			t.Errorf("%d goroutines after %d frames", after, frames)
		}
	})
}

// stayHere keeps what a frame asks for inside the guest's network, where there is
// the resolver of the test.
func stayHere(frame []byte) {
	const destination = headerLen + 14 + 16
	if len(frame) >= destination+4 {
		copy(frame[destination:destination+3], network.Addr().AsSlice())
	}
}

// ipFrame is a frame with an IPv4 packet to the gateway.
func ipFrame(protocol tcpip.TransportProtocolNumber, payload []byte) []byte {
	frame := make([]byte, headerLen+14+20, headerLen+14+20+len(payload))
	header.Ethernet(frame[headerLen:]).Encode(&header.EthernetFields{SrcAddr: guestMAC, DstAddr: gatewayMAC, Type: header.IPv4ProtocolNumber})
	header.IPv4(frame[headerLen+14:]).Encode(&header.IPv4Fields{TotalLength: uint16(20 + len(payload)), TTL: 64, Protocol: uint8(protocol), SrcAddr: address(guest), DstAddr: address(gateway)})
	return append(frame, payload...)
}

func joined(frames ...[]byte) (all []byte) {
	for _, f := range frames {
		all = append(binary.BigEndian.AppendUint16(all, uint16(len(f))), f...)
	}
	return all
}
