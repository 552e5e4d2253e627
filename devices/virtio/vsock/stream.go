package vsock

import (
	"sync"
	"time"
)

// A stream is a connection between a program in the guest and one on the host.
type stream struct {
	flow
	s    *session
	conn Conn // set before connected is

	credited chan struct{} // gets one when the guest may take more, or no more ever
	filled   chan struct{} // gets one when there is something in the fifo, or no more ever
	answered chan struct{} // closed when the guest has accepted
	gone     chan struct{} // closed when over is set

	mu        sync.Mutex
	credit    credit // guarded by mu, as all below
	fifo      fifo   // from the guest, for the host's program
	connected bool   // data may flow
	guestShut uint32 // shutdownReceive and shutdownSend as the guest has said
	deaf      bool   // the host's program takes no more
	over      bool   // the guest knows of no such stream, or not any more
}

func (s *session) newStream(f flow) *stream {
	return &stream{
		flow: f, s: s,
		credited: make(chan struct{}, 1), filled: make(chan struct{}, 1),
		answered: make(chan struct{}), gone: make(chan struct{}),
	}
}

// wake lets who waits for c look again.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// connectHost runs a stream that the guest has asked for.
func (st *stream) connectHost() {
	conn, err := st.s.dev.dial.Dial(st.s.ctx, st.host)
	if err != nil {
		st.s.dev.refused.Add(1)
		st.reset()
		return
	}
	st.mu.Lock()
	st.conn, st.connected = conn, true
	st.mu.Unlock()
	if st.send(opResponse, 0) { // unless the guest has given up
		st.s.dev.opened.Add(1)
		st.relay()
	}
	_ = conn.Close() // what was written is the host's kernel's to deliver
}

// connectGuest runs a stream that a program on the host has asked for.
func (st *stream) connectGuest(connected func(hostPort uint32) error) {
	if st.askGuest() && connected(st.host) == nil {
		st.s.dev.opened.Add(1)
		st.relay()
	} else {
		st.s.dev.refused.Add(1)
		st.reset()
	}
	_ = st.conn.Close()
}

// askGuest asks the guest to take a connection, and reports whether it does.
func (st *stream) askGuest() bool {
	if !st.send(opRequest, 0) {
		return false
	}
	patience := time.NewTimer(connectTimeout)
	defer patience.Stop()
	select {
	case <-st.answered:
		return true
	case <-st.gone:
	case <-patience.C:
	case <-st.s.ctx.Done():
	}
	return false
}

// relay passes data on in both directions until both have ended, and ends the
// stream.
func (st *stream) relay() {
	var draining sync.WaitGroup
	draining.Go(st.drain)
	st.pump()
	draining.Wait()
	st.finish()
}

// finish tells the guest that the stream has ended, and waits for it to agree
// (virtio-v1.2 §5.10.6.5).
func (st *stream) finish() {
	if !st.send(opShutdown, shutdownBoth) {
		return
	}
	patience := time.NewTimer(closeTimeout)
	defer patience.Stop()
	select {
	case <-st.gone:
	case <-st.s.ctx.Done():
	case <-patience.C:
		st.reset()
	}
}

// hurry makes the end of the session the end of both directions.
func (st *stream) hurry() {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.conn != nil { // or it is being dialled, with the session's context
		_ = st.conn.CloseRead()
		_ = st.conn.SetWriteDeadline(time.Now().Add(lingerTime))
	}
}

// reset ends the stream and tells the guest, unless that has ended it itself.
func (st *stream) reset() {
	st.mu.Lock()
	ended := st.end()
	h := st.header(opRST, 0)
	st.mu.Unlock()
	if ended {
		_ = st.s.out.transmitHeader(h) // fails only if the session has ended
	}
}

// end makes the stream one that the guest does not know of. It reports false if
// it was that before. The caller holds st.mu.
func (st *stream) end() bool {
	if st.over {
		return false
	}
	st.over = true
	close(st.gone)
	st.s.forget(st)
	st.stopPump()
	wake(st.filled)
	return true
}

// stopPump makes pump end, as the guest takes no more. The caller holds st.mu.
func (st *stream) stopPump() {
	if st.connected {
		_ = st.conn.CloseRead()
	}
	wake(st.credited)
}

// header is that of a packet to the guest as of now. The caller holds st.mu.
func (st *stream) header(op uint16, flags uint32) header {
	h := header{
		srcCID: HostCID, srcPort: st.host, dstCID: uint64(st.s.dev.cid), dstPort: st.guest,
		typ: typeStream, op: op, flags: flags,
	}
	st.credit.stamp(&h)
	return h
}

// send sends a packet without data, and reports whether it did: not if the guest
// does not know of the stream any more, or the session has ended.
func (st *stream) send(op uint16, flags uint32) (sent bool) {
	_, _ = st.s.out.transmit(nil, func(int) (h header, n int, ok bool) {
		st.mu.Lock()
		defer st.mu.Unlock()
		sent = !st.over
		return st.header(op, flags), 0, sent
	})
	return sent
}
