package vsock_test

import (
	"io"
	"strings"
	"testing"
)

// What breaks the rules of a stream ends that stream, and no other.
func TestStreamRules(t *testing.T) {
	tests := []struct {
		name string
		do   func(s *socket)
	}{
		{"an unknown operation", func(s *socket) { s.send(8) }},
		{"no operation", func(s *socket) { s.send(0) }},
		{"a REQUEST for a stream that there is", func(s *socket) { s.send(request) }},
		{"a RESPONSE to no REQUEST", func(s *socket) { s.send(response) }},
		{"fwd_cnt ahead of what was sent", func(s *socket) { s.read = 1; s.send(creditUpdate) }},
		{"fwd_cnt ahead, with data", func(s *socket) { s.read = 1 << 30; s.write([]byte("x")) }},
		{"data after the end of data", func(s *socket) { s.shut(sendShut); s.write([]byte("x")) }},
		{"more data than there is room for", func(s *socket) {
			for range 20 { // the host's socket takes some of it
				h := s.header(rw)
				h.Len = maxPayload
				s.sent += h.Len
				s.p.sendRaw(h, make([]byte, maxPayload))
			}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			other, otherConn := p.connect(2, 80)
			s, conn := p.connect(1, 80)
			tt.do(s)
			for got := p.recv(); got.Op != rst; got = p.recv() {
				s.took(got)
			}
			if _, err := io.Copy(io.Discard, conn); err != nil {
				t.Errorf("the host's program: %v, want an end", err)
			}
			for got, ok := p.tryRecv(); ok; got, ok = p.tryRecv() {
				s.took(got) // more RSTs, for what came after
			}
			other.write([]byte("ping"))
			if _, err := io.ReadFull(otherConn, make([]byte, 4)); err != nil {
				t.Error(err)
			}
			if got := property(p, "streams reset for a broken rule"); got != uint64(1) {
				t.Errorf("statistics count %v broken rules", got)
			}
		})
	}
}

func property(p *peer, name string) any {
	for _, v := range p.dev.Describe() {
		if v.Name == name {
			return v.Value
		}
	}
	return nil
}

// Data before the connection's other end is there breaks a rule too.
func TestEarlyData(t *testing.T) {
	p := newPeer(t)
	s := p.socket(1, slowPort)
	s.send(request)
	h := s.header(rw)
	h.Len = 1
	p.sendRaw(h, []byte("x"))
	s.expect(rst)
}

// What no stream takes gets an RST from where it was sent to, unless it is
// one.
func TestUnknownPackets(t *testing.T) {
	p := newPeer(t)
	tests := []struct {
		name   string
		change func(h *hdr)
	}{
		{"data", func(h *hdr) { h.Op = rw }},
		{"SHUTDOWN", func(h *hdr) { h.Op = shutdown }},
		{"a credit request", func(h *hdr) { h.Op = creditRequest }},
		{"an unknown operation", func(h *hdr) { h.Op = 99 }},
		{"an unknown type", func(h *hdr) { h.Type = 3 }},
		{"a seqpacket socket, which is not offered", func(h *hdr) { h.Type = 2 }},
		{"another CID", func(h *hdr) { h.DstCID = 5 }},
		{"a CID with reserved bits", func(h *hdr) { h.DstCID = 1<<32 | 2 }},
	}
	for _, tt := range tests {
		h := p.socket(1234, 80).header(request)
		tt.change(&h)
		p.sendRaw(h, nil)
		got := p.recv()
		if got.Op != rst || got.SrcCID != h.DstCID || got.SrcPort != 80 || got.DstPort != 1234 || got.Type != h.Type {
			t.Errorf("%s: answer %+v", tt.name, got.hdr)
		}
		h.Op = rst
		p.sendRaw(h, nil)
		p.quiet(0)
	}
}

// A packet from another source than the guest's CID is dropped, whatever it says,
// and counted; streams go on.
func TestOtherSource(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	cids := []uint64{guestCID + 1, 2, 1<<32 - 1, 1<<32 | guestCID}
	for _, cid := range cids {
		for _, op := range []uint16{request, rst, rw} {
			h := s.header(op)
			h.SrcCID = cid
			p.sendRaw(h, nil)
		}
	}
	p.quiet(0)
	s.write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	if n := property(p, "packets dropped that are from another context ID"); n != uint64(3*len(cids)) {
		t.Errorf("%v packets dropped, want %d", n, 3*len(cids))
	}
}

// A packet of an unknown type leaves the stream alone that has its ports.
func TestUnknownTypeOfStream(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	h := s.header(rw)
	h.Type = 2
	p.sendRaw(h, nil)
	if got := p.recv(); got.Op != rst || got.Type != 2 {
		t.Errorf("answer %+v", got.hdr)
	}
	s.write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// Buffers that are none for a packet break the device, which names the rule and
// works again after a reset.
func TestBrokenBuffers(t *testing.T) {
	tests := []struct {
		name, rule string
		do         func(p *peer)
	}{
		{"a packet shorter than a header", "5.10.6", func(p *peer) { p.tx.Add(p.Out(make([]byte, headerLen-1))) }},
		{"a packet that can be written to", "5.10.6.4", func(p *peer) { p.tx.Add(p.Out(make([]byte, headerLen)), p.In(1)) }},
		{"len far beyond the chain", "5.10.6", func(p *peer) {
			b := make([]byte, headerLen+8)
			b[0], b[24], b[27] = guestCID, 9, 0x80
			p.tx.Add(p.Out(b))
		}},
		{"len one beyond the chain", "5.10.6", func(p *peer) {
			b := make([]byte, headerLen+8)
			b[0], b[24] = guestCID, 9
			p.tx.Add(p.Out(b))
		}},
		{"an rx buffer to read", "5.10.6.4", func(p *peer) { p.rx.Add(p.Out([]byte("x")), p.In(1000)) }},
		{"an rx buffer without room for data", "5.10.6.4", func(p *peer) { p.rx.Add(p.In(headerLen)) }},
		{"an rx buffer without room for a header", "5.10.6.4", func(p *peer) { p.rx.Add(p.In(1)) }},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newIdlePeer(t)
			p.startWithoutBuffers()
			p.socket(1, slowPort).send(request) // of the streams, one is on its way
			p.socket(2, 80).send(request)       // and one waits for room to answer
			tt.do(p)
			p.rx.Notify()
			p.tx.Notify()
			p.AwaitBroken()
			if s := p.Device.Stats(); !strings.Contains(s.Error, "§"+tt.rule+")") {
				t.Errorf("statistics name %q, want §%s", s.Error, tt.rule)
			}
			p.Reset()
			p.start()
			p.connect(1, 80)
		})
	}
}

// A buffer of one piece serves as well as one whose header is apart; data may
// be followed by what is not data.
func TestShapesOfBuffers(t *testing.T) {
	p := newIdlePeer(t)
	p.startWithoutBuffers()
	p.rx.Add(p.In(headerLen + 1))
	p.rx.Notify()
	s := p.socket(1, 80)
	s.send(request)
	if u := p.rx.AwaitUsed(); u.Written != headerLen {
		t.Fatalf("%d bytes", u.Written)
	}
	conn := <-p.host.dialled
	h := s.header(rw)
	h.Len = 3
	p.sendRaw(h, []byte("yes, and no"))
	got := make([]byte, 16)
	if n, err := conn.Read(got); err != nil || string(got[:n]) != "yes" {
		t.Errorf("the host reads %q, %v", got[:n], err)
	}
	one := p.In(headerLen + 1)
	p.rx.Add(one)
	p.rx.Notify()
	if _, err := conn.Write([]byte("z")); err != nil {
		t.Fatal(err)
	}
	if u := p.rx.AwaitUsed(); u.Written != headerLen+1 || p.Bytes(one.Addr, one.Len)[headerLen] != 'z' {
		t.Errorf("%d bytes, data %q", u.Written, p.Bytes(one.Addr, one.Len)[headerLen:])
	}
}
