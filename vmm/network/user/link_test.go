package user

import (
	"bytes"
	"context"
	"encoding/hex"
	"net"
	"slices"
	"strings"
	"testing"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/checksum"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	virtionet "microvm/devices/virtio/net"
)

// arpRequest asks for the gateway's MAC address.
func arpRequest() []byte {
	frame := make([]byte, header.EthernetMinimumSize+header.ARPSize)
	header.Ethernet(frame).Encode(&header.EthernetFields{SrcAddr: guestMAC, DstAddr: header.EthernetBroadcastAddress, Type: header.ARPProtocolNumber})
	arp := header.ARP(frame[header.EthernetMinimumSize:])
	arp.SetIPv4OverEthernet()
	arp.SetOp(header.ARPRequest)
	copy(arp.HardwareAddressSender(), guestMAC)
	copy(arp.ProtocolAddressSender(), guest.AsSlice())
	copy(arp.ProtocolAddressTarget(), gateway.AsSlice())
	return frame
}

func TestFramesThatAreDropped(t *testing.T) {
	n := mustNew(t, Config{})
	for size := range headerLen + header.EthernetMinimumSize {
		n.Send(0, [][]byte{nil, make([]byte, size), nil})
	}
	n.Send(0, nil)
	n.Send(0, [][]byte{make([]byte, headerLen), make([]byte, maxFrame+1)})
	if s := n.Stats(); s.FramesFromGuest != 0 || s.DroppedFromGuest != headerLen+header.EthernetMinimumSize+2 {
		t.Errorf("of frames too small or too large %d were taken and %d dropped", s.FramesFromGuest, s.DroppedFromGuest)
	}
	n.Send(0, [][]byte{make([]byte, headerLen), make([]byte, maxFrame)})
	n.Send(0, [][]byte{make([]byte, headerLen), make([]byte, header.EthernetMinimumSize)})
	if s := n.Stats(); s.FramesFromGuest != 2 {
		t.Errorf("of the largest and the smallest frame %d were taken", s.FramesFromGuest)
	}
}

// The parts in which a frame lies in guest memory make no difference.
func TestFramesInParts(t *testing.T) {
	frame := append(make([]byte, headerLen), arpRequest()...)
	var want []byte
	for _, part := range []int{len(frame), 1, 7, 12, 13} {
		n := mustNew(t, Config{})
		n.Send(0, slices.Collect(slices.Chunk(frame, part)))
		memory := bytes.Repeat([]byte{0xee}, 100)
		size, err := n.Receive(0, slices.Collect(slices.Chunk(memory, part)))
		if err != nil || size != headerLen+header.EthernetMinimumSize+header.ARPSize {
			t.Fatalf("in parts of %d bytes: the answer has %d bytes, %v", part, size, err)
		}
		reply := memory[:size]
		if want == nil {
			want = reply
		}
		if !bytes.Equal(reply, want) {
			t.Errorf("in parts of %d bytes, the answer is\n%x, not\n%x", part, reply, want)
		}
		if memory[size] != 0xee {
			t.Error("bytes after the frame were written")
		}
	}
	if arp := header.ARP(want[headerLen+header.EthernetMinimumSize:]); arp.Op() != header.ARPReply || tcpip.LinkAddress(arp.HardwareAddressSender()) != gatewayMAC {
		t.Errorf("the answer is %x", want)
	}
}

// The guest's own address is not the network's: a guest that asks before it uses
// it is not told that somebody has it.
func TestNobodyHasTheGuestsAddress(t *testing.T) {
	n := mustNew(t, Config{})
	frame := append(make([]byte, headerLen), arpRequest()...)
	copy(header.ARP(frame[headerLen+header.EthernetMinimumSize:]).ProtocolAddressTarget(), guest.AsSlice())
	n.Send(0, [][]byte{frame})
	if size, _ := n.Receive(0, [][]byte{make([]byte, 100)}); size != 0 {
		t.Error("somebody answers for the guest's address")
	}
}

func TestReceiveWithoutRoom(t *testing.T) {
	n := mustNew(t, Config{})
	frame := append(make([]byte, headerLen), arpRequest()...)
	n.Send(0, [][]byte{frame})
	if size, err := n.Receive(0, [][]byte{make([]byte, 20), nil, make([]byte, 30)}); size != 0 || err != nil {
		t.Errorf("54 bytes in 50: %d, %v", size, err)
	}
	if s := n.Stats(); s.DroppedToGuest != 1 || s.FramesToGuest != 0 {
		t.Errorf("%+v", s)
	}
}

// A guest that takes no frames loses those beyond a limit.
func TestQueueIsBounded(t *testing.T) {
	n := mustNew(t, Config{})
	frame := append(make([]byte, headerLen), arpRequest()...)
	for range frameLimit + 10 {
		n.Send(0, [][]byte{frame})
	}
	if s := n.Stats(); s.DroppedToGuest != 10 {
		t.Errorf("%d frames were lost, not 10", s.DroppedToGuest)
	}
}

func TestWait(t *testing.T) {
	n := mustNew(t, Config{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Wait(ctx, 0); err != context.Canceled {
		t.Errorf("with nothing to wait for: %v", err)
	}
	n.Send(0, [][]byte{make([]byte, headerLen), arpRequest()})
	if err := n.Wait(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := n.Wait(ctx, 0); err != nil {
		t.Errorf("with a frame there: %v", err)
	}
	if size, _ := n.Receive(0, [][]byte{make([]byte, 100)}); size == 0 {
		t.Error("the frame that was waited for is gone")
	}
	n.Close()
	if err := n.Wait(t.Context(), 0); err != net.ErrClosed {
		t.Errorf("after Close: %v", err)
	}
}

// bigSegment is what the stack writes of 3000 bytes on a connection whose
// segments have 1448.
func bigSegment() *stack.PacketBuffer {
	payload := bytes.Repeat([]byte("0123456789"), 300)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{
		ReserveHeaderBytes: header.EthernetMinimumSize + header.IPv4MinimumSize + header.TCPMinimumSize,
		Payload:            buffer.MakeWithData(payload),
	})
	tcp := header.TCP(pkt.TransportHeader().Push(header.TCPMinimumSize))
	tcp.Encode(&header.TCPFields{SrcPort: 1, DstPort: 2, SeqNum: 0xfffffff0, DataOffset: header.TCPMinimumSize, Flags: header.TCPFlagAck | header.TCPFlagPsh | header.TCPFlagFin})
	length := uint16(pkt.Size())
	tcp.SetChecksum(header.PseudoHeaderChecksum(header.TCPProtocolNumber, address(gateway), address(guest), length))
	ip := header.IPv4(pkt.NetworkHeader().Push(header.IPv4MinimumSize))
	ip.Encode(&header.IPv4Fields{TotalLength: header.IPv4MinimumSize + length, ID: 0xffff, TTL: 64, Protocol: uint8(header.TCPProtocolNumber), SrcAddr: address(gateway), DstAddr: address(guest)})
	ip.SetChecksum(^ip.CalculateChecksum())
	header.Ethernet(pkt.LinkHeader().Push(header.EthernetMinimumSize)).Encode(&header.EthernetFields{Type: header.IPv4ProtocolNumber})
	pkt.GSOOptions = stack.GSO{Type: stack.GSOTCPv4, NeedsCsum: true, CsumOffset: header.TCPChecksumOffset, MSS: 1448}
	return pkt
}

func TestSegmentation(t *testing.T) {
	receive := func(accepted virtionet.Offloads) (frames [][]byte) {
		l := newLink(defaultMTU, gatewayMAC)
		l.accepted.Store(&accepted)
		l.frames <- bigSegment()
		for {
			memory := make([]byte, 4096)
			size := l.receive([][]byte{memory})
			if size == 0 {
				return frames
			}
			frames = append(frames, memory[:size])
		}
	}
	const headers = 14 + 20 + 20
	t.Run("by the guest", func(t *testing.T) {
		frames := receive(allOffloads)
		if len(frames) != 1 || len(frames[0]) != headerLen+headers+3000 {
			t.Fatalf("%d frames", len(frames))
		}
		// flags, gso_type, hdr_len 54, gso_size 1448, csum_start 34, csum_offset 16
		if got := hex.EncodeToString(frames[0][:headerLen]); got != "0101"+"3600"+"a805"+"2200"+"1000"+"0000" {
			t.Errorf("the header is %s", got)
		}
	})
	for _, accepted := range []virtionet.Offloads{{Checksum: true}, {}} {
		t.Run("here", func(t *testing.T) {
			var all strings.Builder
			for i, frame := range receive(accepted) {
				vnet := hex.EncodeToString(frame[:headerLen])
				ip := header.IPv4(frame[headerLen+14:])
				tcp := header.TCP(ip.Payload())
				if !ip.IsValid(len(ip)) || !ip.IsChecksumValid() {
					t.Errorf("segment %d: its IP header is not valid", i)
				}
				if want := uint16(0xffff + i); ip.ID() != want {
					t.Errorf("segment %d: ID %d, not %d", i, ip.ID(), want)
				}
				if want := uint32(0xfffffff0) + uint32(all.Len()); tcp.SequenceNumber() != want {
					t.Errorf("segment %d: sequence number %#x, not %#x", i, tcp.SequenceNumber(), want)
				}
				if last := all.Len()+len(tcp.Payload()) == 3000; tcp.Flags().Contains(header.TCPFlagFin|header.TCPFlagPsh) != last {
					t.Errorf("segment %d: flags %v", i, tcp.Flags())
				}
				if accepted.Checksum {
					if vnet != "0100"+"0000"+"0000"+"2200"+"1000"+"0000" {
						t.Errorf("segment %d: header %s", i, vnet)
					}
					// As the guest does it (virtio-v1.2 §5.1.6.2).
					tcp.SetChecksum(^checksum.Checksum(tcp, 0))
				} else if vnet != "000000000000000000000000" {
					t.Errorf("segment %d: header %s", i, vnet)
				}
				if !tcp.IsChecksumValid(ip.SourceAddress(), ip.DestinationAddress(), checksum.Checksum(tcp.Payload(), 0), uint16(len(tcp.Payload()))) {
					t.Errorf("segment %d: its checksum is wrong", i)
				}
				all.Write(tcp.Payload())
			}
			if all.String() != strings.Repeat("0123456789", 300) {
				t.Errorf("the payload has %d bytes, or is another", all.Len())
			}
		})
	}
}
