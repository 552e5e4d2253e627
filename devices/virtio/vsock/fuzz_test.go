package vsock_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/vsock"
)

// FuzzPackets sends packets of the fuzzer's making, four bytes each: an operation,
// ports of a few streams, a field to be made wrong, and a length. Most packets are
// such as a driver may send.
//
// The laws: what the device sends are packets from the host to the guest, with
// data only where the guest has room; a device that stops has a rule to name;
// there are never more streams than were asked for; and after a reset nothing is
// left of them.
func FuzzPackets(f *testing.F) {
	f.Add([]byte{1, 0x10, 0, 0, 6, 0x10, 3, 100, 6, 0x10, 3, 200})
	f.Add([]byte{1, 0, 0, 0, 5, 0, 0, 200, 4, 0, 2, 0, 3, 0, 0, 0})
	f.Add([]byte{1, 1, 0, 0, 5, 1, 0, 255, 5, 1, 0, 255, 7, 1, 0, 0, 6, 1, 3, 9})
	f.Add([]byte{1, 2, 0, 0, 1, 2, 0, 0, 2, 3, 0, 0, 9, 4, 5, 0, 5, 7, 6, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		p := newPeer(t)
		defer p.Reset()
		p.host.greet = func(c *net.UnixConn, port uint32) {
			switch port {
			case 80:
				c.Write(make([]byte, 5000))
			case 81:
				c.CloseWrite()
			case 82:
				c.Close()
			}
		}
		script = script[:min(len(script), 4*maxScript)]
		flows := fuzzFlows{}
		for ; len(script) >= 4; script = script[4:] {
			h, n := fuzzPacket(script[0], script[1], script[2], script[3])
			flows.send(h)
			if !p.trySend(h, n) {
				break
			}
			flows.receive(p)
		}
		time.Sleep(50 * time.Microsecond) // for what is on its way
		flows.receive(p)
		s := p.Device.Stats()
		if s.Errors > 0 && !strings.Contains(s.Error, "virtio-v1.2 §") {
			t.Errorf("an error that names no rule: %s", s.Error)
		}
		if n := property(p, "streams connected").(uint64); n > maxScript {
			t.Errorf("%d streams", n)
		}
	})
}

// maxScript bounds the packets of one run.
const maxScript = 64

// fuzzPacket makes a packet of four bytes, and the length of its data.
func fuzzPacket(op, ports, wrong, length byte) (h hdr, n int) {
	n = int(length) * 256
	h = hdr{
		SrcCID: guestCID, DstCID: 2, SrcPort: uint32(ports >> 4), DstPort: 80 + uint32(ports&3),
		Len: uint32(n), Type: 1, Op: uint16(op & 15), Flags: uint32(op >> 4), BufAlloc: 100,
	}
	switch wrong {
	case 1:
		h.DstPort = closedPort
	case 2:
		h.DstPort = slowPort
	case 3:
		h.FwdCnt = uint32(length)
	case 4:
		h.BufAlloc = uint32(length)
	case 5:
		h.Type = uint16(length)
	case 6:
		h.Len++
	case 7:
		h.SrcCID++
	case 8:
		h.DstCID = uint64(length)
	case 9:
		h.FwdCnt = 1<<32 - 1
	case 10:
		h.BufAlloc = 1<<32 - 1
	}
	return h, n
}

// trySend is sendRaw, except that it reports false if the device has stopped.
func (p *peer) trySend(h hdr, n int) bool {
	p.put(h, make([]byte, n))
	p.tx.Notify()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Microsecond) {
		if _, ok := p.tx.TryUsed(); ok {
			return true
		}
		if p.Status()&virtio.StatusNeedsReset != 0 {
			return false
		}
		if time.Now().After(deadline) {
			p.T.Fatalf("the device does not take %+v", h)
		}
	}
}

// A fuzzFlow is what the fuzzer has said of a stream's ports, and got there.
type fuzzFlow struct{ requests, maxAlloc, maxFwd, received uint64 }

// fuzzFlows are those by the guest's port and the host's.
type fuzzFlows map[[2]uint32]*fuzzFlow

func (flows fuzzFlows) send(h hdr) {
	id := [2]uint32{h.SrcPort, h.DstPort}
	f := flows[id]
	if f == nil {
		f = &fuzzFlow{}
		flows[id] = f
	}
	if h.Op == request {
		f.requests++
	}
	f.maxAlloc = max(f.maxAlloc, uint64(h.BufAlloc))
	if h.FwdCnt <= 255 { // else it is one of the 2^31 values before 0: no news
		f.maxFwd = max(f.maxFwd, uint64(h.FwdCnt))
	}
}

// receive takes what the device has sent, and checks that it may.
func (flows fuzzFlows) receive(p *peer) {
	for got, ok := p.tryRecv(); ok; got, ok = p.tryRecv() {
		if got.Op == rst {
			continue // from wherever the packet went to that it answers
		}
		f := flows[[2]uint32{got.DstPort, got.SrcPort}]
		if f == nil || got.SrcCID != 2 || got.Op == 0 || got.Op > creditRequest || got.BufAlloc != vsock.BufferSize || got.Op != rw && got.Len > 0 {
			p.T.Fatalf("the device sends %+v", got.hdr)
		}
		if f.received += uint64(got.Len); f.received > f.requests*(f.maxAlloc+f.maxFwd) {
			p.T.Fatalf("the device sends %d bytes to one with room for %d; %+v", f.received, f.maxAlloc+f.maxFwd, got.hdr)
		}
	}
}
