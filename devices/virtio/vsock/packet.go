package vsock

import "microvm/devices/virtio/virtq"

// packet does what a packet of the guest's to the stream says; r has its data.
func (st *stream) packet(h *header, r *virtq.Reader) error {
	if answer, ok := st.take(h, r); ok {
		return st.s.reply(answer)
	}
	return nil
}

// take is packet up to the answer, if there is one.
func (st *stream) take(h *header, r *virtq.Reader) (answer reply, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	switch {
	case h.op == opRST:
		st.end()
		return reply{}, false
	case st.over: // since it was found
		return reply{header: h.refusal()}, true
	case !st.obeys(h, r):
		st.s.dev.violated.Add(1)
		st.end()
		return reply{header: st.header(opRST, 0)}, true
	case st.guestShut == shutdownBoth:
		// The guest may use its port again when it has the answer. What
		// is in the fifo still goes to the host's program.
		st.end()
		return reply{header: st.header(opRST, 0)}, true
	case h.op == opCreditRequest:
		return reply{credit: st}, true
	}
	return reply{}, false
}

// obeys takes the contents of a packet, and reports whether the guest keeps to
// the rules of a stream.
func (st *stream) obeys(h *header, r *virtq.Reader) bool {
	if !st.credit.learn(h) {
		return false
	}
	if h.op == opResponse {
		return st.accepted()
	}
	if !st.connected {
		return false
	}
	wake(st.credited)
	switch h.op {
	case opShutdown:
		st.shut(h.flags & shutdownBoth)
		return true
	case opRW:
		return st.receive(int(h.len), r)
	}
	return h.op == opCreditUpdate || h.op == opCreditRequest
}

// accepted is the guest's answer to a connection from the host.
func (st *stream) accepted() bool {
	if st.connected || st.conn == nil { // the guest itself has asked for this one
		return false
	}
	st.connected = true
	close(st.answered)
	return true
}

// shut is the guest's word that it receives or sends no more, which it does not
// take back (virtio-v1.2 §5.10.6.5).
func (st *stream) shut(flags uint32) {
	st.guestShut |= flags
	if st.guestShut&shutdownReceive != 0 {
		st.stopPump()
	}
	wake(st.filled)
}

// receive takes n bytes of data. It reports false if the guest had no credit for
// them, or had said that there would be none.
func (st *stream) receive(n int, r *virtq.Reader) bool {
	if st.guestShut&shutdownSend != 0 || n > st.fifo.room() {
		return false
	}
	if st.deaf {
		st.credit.forwarded += uint32(n)
		return true
	}
	st.fifo.fill(r, n)
	wake(st.filled)
	return true
}
