package vsock

// pump passes on what the host's program sends, until it ends that or the guest
// takes no more.
func (st *stream) pump() {
	buf := make([]byte, readSize)
	for {
		n, err := st.conn.Read(buf)
		if !st.deliver(buf[:n]) || err != nil {
			break
		}
	}
	_ = st.conn.CloseRead() // the host's program learns that nobody reads
	st.send(opShutdown, shutdownSend)
}

// deliver sends data to the guest as it has room. It reports false if the guest
// takes no more.
func (st *stream) deliver(data []byte) bool {
	for len(data) > 0 {
		if !st.awaitCredit() {
			return false
		}
		n, err := st.s.out.transmit(data, st.stampData)
		if err != nil {
			return false
		}
		data = data[n:]
	}
	return true
}

// stampData makes the header of a packet with up to n bytes of data.
func (st *stream) stampData(n int) (h header, data int, ok bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	data = min(n, st.credit.free())
	if data == 0 || !st.guestReceives() {
		return header{}, 0, false
	}
	st.credit.sent += uint32(data)
	return st.header(opRW, 0), data, true
}

// guestReceives reports whether the guest still takes data. The caller holds
// st.mu.
func (st *stream) guestReceives() bool { return !st.over && st.guestShut&shutdownReceive == 0 }

// awaitCredit waits until the guest has room for data, and reports false if it
// takes no more.
func (st *stream) awaitCredit() bool {
	for asked := false; ; {
		st.mu.Lock()
		free, receives := st.credit.free(), st.guestReceives()
		st.mu.Unlock()
		switch {
		case !receives:
			return false
		case free > 0:
			return true
		case !asked: // in case its last word is old
			st.send(opCreditRequest, 0)
			asked = true
		}
		select {
		case <-st.credited:
		case <-st.s.ctx.Done():
			return false
		}
	}
}
