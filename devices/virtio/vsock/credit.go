package vsock

// maxWindow bounds what is under way to the guest, in bytes, whatever the guest
// says its buffer is: counters that wrap at 2^32 have an order only as long as
// they are less than 2^31 apart.
const maxWindow = 1 << 30

// A credit is the buffer space management of one stream (virtio-v1.2
// §5.10.6.3). The counters are free-running and wrap.
type credit struct {
	// What goes to the guest.
	sent          uint32 // bytes sent: tx_cnt
	peerForwarded uint32 // bytes that the guest's program has read: its fwd_cnt
	peerAlloc     uint32 // the guest's buffer: its buf_alloc, at most maxWindow

	// What comes from the guest.
	forwarded uint32 // bytes that the host's program has taken: our fwd_cnt
	told      uint32 // forwarded as the guest was told last
}

// learn takes the guest's part from a packet. It reports false if the guest
// says that it forwarded what was never sent. A value older than one before is
// left aside: a driver may stamp two packets in one order and send them in the
// other.
func (c *credit) learn(h *header) bool {
	if int32(h.fwdCnt-c.sent) > 0 {
		return false
	}
	if int32(h.fwdCnt-c.peerForwarded) > 0 {
		c.peerForwarded = h.fwdCnt
	}
	c.peerAlloc = min(h.bufAlloc, maxWindow)
	return true
}

// free is the number of bytes that may be sent.
func (c *credit) free() int {
	return max(0, int(c.peerAlloc)-int(c.sent-c.peerForwarded))
}

// stamp puts our part into a packet that is sent now.
func (c *credit) stamp(h *header) {
	h.bufAlloc, h.fwdCnt = BufferSize, c.forwarded
	c.told = c.forwarded
}

// stale reports whether the guest should be told of forwarded bytes without
// waiting for a packet that goes to it anyway: it does not know of half of the
// buffer. A driver that waits for more than the other half asks.
func (c *credit) stale() bool { return c.forwarded-c.told >= BufferSize/2 }
