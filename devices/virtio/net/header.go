package net

// A header is a copy of a struct virtio_net_hdr (virtio-v1.2 §5.1.6).
type header [HeaderSize]byte

func (h *header) gsoType() byte      { return h[HeaderGSOType] &^ GSOECN }
func (h *header) needsCsum() bool    { return h[HeaderFlags]&HeaderNeedsCsum != 0 }
func (h *header) field(off int) int  { return int(le.Uint16(h[off:])) }
func (h *header) set(off int, v int) { le.PutUint16(h[off:], uint16(v)) }

// allowed reports whether the header asks for nothing that is not in o.
func (h *header) allowed(o Offloads) bool {
	if h.needsCsum() && !o.Checksum {
		return false
	}
	if h[HeaderGSOType]&GSOECN != 0 && !o.ECN {
		return false
	}
	switch h.gsoType() {
	case GSONone:
		return true
	case GSOTCPv4:
		return o.TSO4
	case GSOTCPv6:
		return o.TSO6
	}
	return false
}

// checkSent checks and cleans what a driver says of a frame of n bytes that it
// sends, where o are the offloads negotiated. What is left is safe for a backend
// to use, and hdr_len, which is "only a hint" that it "MUST NOT rely on", is
// at most n.
func (h *header) checkSent(n int, o Offloads) error {
	const rule = "virtio-v1.2 §5.1.6.2.1"
	// "The device MUST ignore flag bits that it does not recognize", and of
	// those that it does this is the one for a driver to set (§5.1.6.2.2).
	h[HeaderFlags] &= HeaderNeedsCsum
	if !h.allowed(o) {
		return broken(rule, "a frame with flags %#x and gso_type %#x, which are not negotiated",
			h[HeaderFlags], h[HeaderGSOType])
	}
	if h.gsoType() == GSONone {
		h[HeaderGSOType] = GSONone // without segments ECN has no meaning
		h.set(HeaderGSOSize, 0)
	} else if !h.needsCsum() || h.field(HeaderGSOSize) == 0 {
		return broken(rule, "a frame to be segmented, with flags %#x and gso_size %d", h[HeaderFlags], h.field(HeaderGSOSize))
	}
	if !h.needsCsum() {
		h.set(HeaderCsumStart, 0)
		h.set(HeaderCsumOffset, 0)
	} else if end := h.field(HeaderCsumStart) + h.field(HeaderCsumOffset) + 2; end > n {
		return broken(rule, "a checksum that ends at byte %d of a frame of %d", end, n)
	}
	h.set(HeaderHdrLen, min(h.field(HeaderHdrLen), n))
	h.set(HeaderNumBuffers, 0)
	return nil
}
