package vsock

import "microvm/devices/virtio/virtq"

// receive takes the guest's packets until the session ends, and returns why. It
// waits for nobody but the guest.
func (s *session) receive() error {
	var c virtq.Chain
	for s.ctx.Err() == nil {
		ok, err := s.tx.Pop(&c)
		if err != nil {
			return err
		}
		if !ok {
			if err := s.tx.Wait(s.ctx); err != nil {
				return err
			}
			continue
		}
		if err := s.packet(&c); err != nil {
			return err
		}
		s.tx.Push(&c, 0)
		s.tx.Publish()
	}
	return s.ctx.Err()
}

// packet does what one packet of the guest's says.
func (s *session) packet(c *virtq.Chain) error {
	if c.Writer.Len() > 0 {
		return broken("5.10.6.4", "a buffer on tx with room for %d bytes; they are read-only", c.Writer.Len())
	}
	var b [headerSize]byte
	if n, _ := c.Reader.Read(b[:]); n < headerSize {
		return broken("5.10.6", "a packet of %d bytes; a header has %d", n, headerSize)
	}
	h := parseHeader(&b)
	if int64(h.len) > int64(c.Reader.Len()) {
		return broken("5.10.6", "a packet of len %d with %d bytes of data", h.len, c.Reader.Len())
	}
	if h.srcCID != uint64(s.dev.cid) {
		// Linux sends one from AnyCID for a socket that was made while it
		// had no driver. That breaks virtio-v1.2 §5.10.6.4.1, but is one
		// program's fault: the others' streams go on.
		s.dev.strange.Add(1)
		return nil
	}
	// Any program in the guest can connect to another CID. To nothing but
	// the host is there a way from here.
	if h.typ != typeStream || h.dstCID != HostCID {
		return s.refuse(&h)
	}
	f := flow{guest: h.srcPort, host: h.dstPort}
	st := s.find(f)
	if st == nil {
		if h.op == opRequest {
			return s.request(f, &h)
		}
		return s.refuse(&h)
	}
	return st.packet(&h, &c.Reader)
}

// request begins the stream that the guest asks for.
func (s *session) request(f flow, h *header) error {
	st := s.newStream(f)
	st.credit.learn(h)
	if s.begin(st, st.connectHost) != nil {
		return s.reply(reply{header: h.refusal()})
	}
	return nil
}

// refuse answers a packet that no stream takes.
func (s *session) refuse(h *header) error {
	if h.op == opRST {
		return nil // or two sides without a stream would go on for ever
	}
	return s.reply(reply{header: h.refusal()})
}

// reply has r sent. It waits only if there are maxReplies before it.
func (s *session) reply(r reply) error {
	select {
	case s.replies <- r:
		return nil
	case <-s.ctx.Done():
		return s.ctx.Err()
	}
}
