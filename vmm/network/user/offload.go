package user

import (
	"encoding/binary"
	"slices"

	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	virtionet "microvm/devices/virtio/net"
)

// The stack writes TCP segments of up to 64 KiB whose checksum covers the
// pseudo-header only. A guest that accepts that gets them as they are; for
// others the rest of the work is done here, when the frame is handed over, so
// that what the guest accepts may change at any time.

// A vnetHeader is a struct virtio_net_hdr (virtio-v1.2 §5.1.6).
type vnetHeader [virtionet.HeaderSize]byte

func (h *vnetHeader) set(field int, v uint16) { binary.LittleEndian.PutUint16(h[field:], v) }

// leaveChecksum leaves the checksum of the TCP segment at l4 to the guest.
func (h *vnetHeader) leaveChecksum(l4 int) {
	h[virtionet.HeaderFlags] = virtionet.HeaderNeedsCsum
	h.set(virtionet.HeaderCsumStart, uint16(l4))
	h.set(virtionet.HeaderCsumOffset, header.TCPChecksumOffset)
}

// outgoing returns the header of a packet of the stack, or false if a guest that
// accepts offloads cannot have the packet as it is.
func outgoing(pkt *stack.PacketBuffer, accepted virtionet.Offloads) (h vnetHeader, ok bool) {
	if !pkt.GSOOptions.NeedsCsum {
		return h, true
	}
	l4 := len(pkt.LinkHeader().Slice()) + len(pkt.NetworkHeader().Slice())
	h.leaveChecksum(l4)
	large := pkt.Data().Size() > int(pkt.GSOOptions.MSS)
	if large {
		h[virtionet.HeaderGSOType] = virtionet.GSOTCPv4
		h.set(virtionet.HeaderGSOSize, pkt.GSOOptions.MSS)
		h.set(virtionet.HeaderHdrLen, uint16(l4+len(pkt.TransportHeader().Slice())))
	}
	return h, accepted.Checksum && (accepted.TSO4 || !large)
}

// segments are what remains to be sent of a large TCP segment.
type segments struct {
	headers []byte // Ethernet, IPv4 and TCP, of the next
	l3, l4  int    // where the IPv4 and TCP headers are
	payload []byte // of all that remain
	size    int    // bytes of payload in each but the last
	partial bool   // checksums are left to the guest
}

func segment(pkt *stack.PacketBuffer, accepted virtionet.Offloads) *segments {
	l3 := len(pkt.LinkHeader().Slice())
	l4 := l3 + len(pkt.NetworkHeader().Slice())
	whole := pkt.ToView().AsSlice()
	data := l4 + len(pkt.TransportHeader().Slice())
	return &segments{
		headers: whole[:data],
		l3:      l3,
		l4:      l4,
		payload: whole[data:],
		size:    max(int(pkt.GSOOptions.MSS), 1),
		partial: accepted.Checksum,
	}
}

// next returns the headers and the payload of the next segment, and whether it
// is the last.
func (s *segments) next() (h vnetHeader, headers, payload []byte, last bool) {
	payload = s.payload[:min(s.size, len(s.payload))]
	s.payload = s.payload[len(payload):]
	last = len(s.payload) == 0

	headers = slices.Clone(s.headers)
	ip, tcp := header.IPv4(headers[s.l3:s.l4]), header.TCP(headers[s.l4:])
	length := len(tcp) + len(payload)
	ip.SetTotalLength(uint16(len(ip) + length))
	ip.SetChecksum(0)
	ip.SetChecksum(^ip.CalculateChecksum())
	if !last {
		tcp.SetFlags(uint8(tcp.Flags() &^ (header.TCPFlagFin | header.TCPFlagPsh)))
	}
	pseudo := header.PseudoHeaderChecksum(header.TCPProtocolNumber, ip.SourceAddress(), ip.DestinationAddress(), uint16(length))
	if s.partial {
		h.leaveChecksum(s.l4)
		tcp.SetChecksum(pseudo)
	} else {
		tcp.SetChecksum(0)
		tcp.SetChecksum(^tcp.CalculateChecksum(checksum.Checksum(payload, pseudo)))
	}

	following := header.IPv4(s.headers[s.l3:])
	following.SetID(following.ID() + 1)
	header.TCP(s.headers[s.l4:]).SetSequenceNumber(tcp.SequenceNumber() + uint32(len(payload)))
	return h, headers, payload, last
}
