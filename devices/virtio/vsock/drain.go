package vsock

// drain passes on what the guest sends, until it ends that or the host's program
// takes no more.
func (st *stream) drain() {
	for p := st.awaitData(); p != nil; p = st.awaitData() {
		n, err := st.conn.Write(p)
		if st.forwarded(n, err != nil) {
			st.send(opCreditUpdate, 0)
		}
		if err != nil {
			st.send(opShutdown, shutdownReceive)
			break
		}
	}
	_ = st.conn.CloseWrite()
}

// awaitData waits until the guest has sent something, and returns it, or nil if
// nothing more comes.
func (st *stream) awaitData() []byte {
	for {
		st.mu.Lock()
		p, sends := st.fifo.next(), !st.over && st.guestShut&shutdownSend == 0
		st.mu.Unlock()
		if p != nil || !sends || st.s.ctx.Err() != nil {
			return p
		}
		select {
		case <-st.filled:
		case <-st.s.ctx.Done():
		}
	}
}

// forwarded notes that the host's program has taken n bytes, and whether it
// takes no more; then the rest is dropped. It reports whether to tell the guest
// that there is room.
func (st *stream) forwarded(n int, deaf bool) bool {
	st.mu.Lock()
	defer st.mu.Unlock()
	if st.deaf = deaf; deaf {
		n = st.fifo.n
	}
	st.fifo.drop(n)
	st.credit.forwarded += uint32(n)
	return st.credit.stale()
}
