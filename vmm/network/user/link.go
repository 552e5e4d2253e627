package user

import (
	"context"
	"net"
	"sync/atomic"

	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/stack"

	virtionet "microvm/devices/virtio/net"
)

const (
	// frameLimit bounds the frames that wait for the guest; further ones are
	// lost. They hold a full TCP window of a connection, 4 MiB, in segments of
	// 1448 bytes: a shorter queue would lose some of each window, and TCP takes
	// that for a congested network.
	frameLimit = 4096

	// maxFrame bounds a frame of the guest: Ethernet header and the largest IPv4
	// packet, which is how long one with segmentation offload may be.
	maxFrame = header.EthernetMinimumSize + maxPacket

	// maxPacket is the size of the largest IPv4 packet (RFC 791).
	maxPacket = 1<<16 - 1

	// gsoMaxSize bounds the segments that the stack writes, with all headers.
	gsoMaxSize = 1 << 16
)

// A link carries frames between the guest's network device and the stack. It
// stands where a stack has its network card.
type link struct {
	*channel.Endpoint // for what all cards have; its queue is not used

	frames   chan *stack.PacketBuffer           // to the guest
	arrived  chan struct{}                      // has an element if wait is to look at frames again
	sending  atomic.Bool                        // send runs: it sees to the frames that are added meanwhile
	accepted atomic.Pointer[virtionet.Offloads] // what the guest accepts in them
	closed   chan struct{}
	ignore   func(frame []byte) bool // frames that the stack does not see; may be nil

	// Of who receives:
	cut   *segments // what remains of a packet that the guest takes in pieces, or nil
	parts [][]byte  // of the frame at hand; kept to be used again

	toGuest, fromGuest frameCounters
}

type frameCounters struct{ frames, bytes, dropped atomic.Uint64 }

func newLink(mtu int, mac tcpip.LinkAddress) *link {
	l := &link{
		Endpoint: channel.New(0, uint32(mtu+header.EthernetMinimumSize), mac),
		frames:   make(chan *stack.PacketBuffer, frameLimit),
		arrived:  make(chan struct{}, 1),
		closed:   make(chan struct{}),
	}
	// What comes from the guest has crossed no wire.
	l.LinkEPCapabilities = stack.CapabilityRXChecksumOffload
	l.SupportedGSOKind = stack.HostGSOSupported
	l.accepted.Store(new(virtionet.Offloads))
	return l
}

// GSOMaxSize implements stack.GSOEndpoint.
func (l *link) GSOMaxSize() uint32 { return gsoMaxSize }

// WritePackets implements stack.LinkWriter. It is called with locks of the stack
// held, so a full queue loses packets and does not wait.
func (l *link) WritePackets(pkts stack.PacketBufferList) (int, tcpip.Error) {
	written, err := l.queue(pkts)
	if !l.sending.Load() { // pairs with send's store of false, after which waiting sees these frames
		l.notify()
	}
	return written, err
}

func (l *link) queue(pkts stack.PacketBufferList) (int, tcpip.Error) {
	for i, pkt := range pkts.AsSlice() {
		select {
		case l.frames <- pkt.IncRef():
		default:
			pkt.DecRef()
			l.toGuest.dropped.Add(1)
			return i, &tcpip.ErrNoBufferSpace{}
		}
	}
	return pkts.Len(), nil
}

// shut releases what waits for the guest and ends wait.
func (l *link) shut() {
	close(l.closed)
	for {
		select {
		case pkt := <-l.frames:
			pkt.DecRef()
		default:
			return
		}
	}
}

// send passes a frame of the guest to the stack, on the caller's goroutine. What
// the guest leaves to us is in the frame's header, which is not looked at: the
// stack takes segments of any size, and does not check their checksums. Frames that
// the stack writes meanwhile do not end wait: the caller looks for them (waiting).
func (l *link) send(frame [][]byte) {
	size := 0
	for _, part := range frame {
		size += len(part)
	}
	size -= virtionet.HeaderSize
	if size < header.EthernetMinimumSize || size > maxFrame {
		l.fromGuest.dropped.Add(1)
		return
	}
	view := buffer.NewViewSize(size)
	pkt := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: buffer.MakeWithView(view)})
	defer pkt.DecRef()
	copied := view.AsSlice()
	gather(copied, frame, virtionet.HeaderSize)
	l.fromGuest.frames.Add(1)
	l.fromGuest.bytes.Add(uint64(size))
	if l.ignore == nil || !l.ignore(copied) {
		l.sending.Store(true)
		l.InjectInbound(0, pkt) // the protocol is in the Ethernet header
		l.sending.Store(false)
	}
}

// waiting reports whether frames wait for the guest.
func (l *link) waiting() bool { return len(l.frames) > 0 }

// notify ends wait.
func (l *link) notify() {
	select {
	case l.arrived <- struct{}{}:
	default: // it is about to end
	}
}

// receive fills into with the next frame for the guest and returns its size, or
// 0 if there is none. A frame that does not fit is lost.
func (l *link) receive(into [][]byte) int {
	for {
		n, ok := l.deliver(into)
		if !ok {
			return 0
		}
		if n > 0 {
			l.toGuest.frames.Add(1)
			l.toGuest.bytes.Add(uint64(n - virtionet.HeaderSize))
			return n
		}
		l.toGuest.dropped.Add(1)
	}
}

// deliver takes the next frame, if there is one, and fills into with it: n is 0
// if it does not fit.
func (l *link) deliver(into [][]byte) (n int, ok bool) {
	if l.cut == nil {
		pkt := l.take()
		if pkt == nil {
			return 0, false
		}
		defer pkt.DecRef()
		accepted := *l.accepted.Load()
		h, whole := outgoing(pkt, accepted)
		if whole {
			return scatter(into, h, l.viewsOf(pkt)), true
		}
		l.cut = segment(pkt, accepted)
	}
	h, headers, payload, last := l.cut.next()
	if last {
		l.cut = nil
	}
	l.parts = append(l.parts[:0], headers, payload)
	return scatter(into, h, l.parts), true
}

// take returns the next packet for the guest, or nil if there is none.
func (l *link) take() *stack.PacketBuffer {
	select {
	case pkt := <-l.frames:
		return pkt
	default:
		return nil
	}
}

// wait returns when receive may have a frame, ctx is done, or the link is shut.
func (l *link) wait(ctx context.Context) error {
	if l.waiting() {
		return nil
	}
	select {
	case <-l.arrived:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.closed:
		return net.ErrClosed
	}
}

// viewsOf returns the bytes of a packet, good until the next frame.
func (l *link) viewsOf(pkt *stack.PacketBuffer) [][]byte {
	l.parts = l.parts[:0]
	views, unused := pkt.AsViewList()
	for v := views.Front(); v != nil; v = v.Next() {
		b := v.AsSlice()
		skip := min(unused, len(b))
		unused -= skip
		l.parts = append(l.parts, b[skip:])
	}
	return l.parts
}

// gather fills b with what is in parts from the byte at from.
func gather(b []byte, parts [][]byte, from int) {
	for _, part := range parts {
		skip := min(from, len(part))
		from -= skip
		b = b[copy(b, part[skip:]):]
	}
}

// scatter fills into with a header and a frame, and returns their size, or 0 if
// they do not fit.
func scatter(into [][]byte, h vnetHeader, frame [][]byte) (n int) {
	var room []byte
	part := h[:]
	for {
		for len(part) > 0 {
			for len(room) == 0 {
				if len(into) == 0 {
					return 0
				}
				room, into = into[0], into[1:]
			}
			c := copy(room, part)
			room, part = room[c:], part[c:]
			n += c
		}
		if len(frame) == 0 {
			return n
		}
		part, frame = frame[0], frame[1:]
	}
}
