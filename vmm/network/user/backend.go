package user

import (
	"context"

	"microvm/devices/virtio"
	virtionet "microvm/devices/virtio/net"
)

// Pairs returns 1: one goroutine feeds the stack, and more would not be faster.
func (n *Network) Pairs() int { return 1 }

// Offloads returns what frames from the guest may ask for, and what frames to it
// may carry.
func (n *Network) Offloads() virtionet.Offloads {
	return virtionet.Offloads{Checksum: true, TSO4: true}
}

// SetOffloads says what the guest accepts in received frames. It may change at
// any time.
func (n *Network) SetOffloads(accepted virtionet.Offloads) error {
	n.link.accepted.Store(&accepted)
	return nil
}

// SetPairs has nothing to do: there is one pair.
func (n *Network) SetPairs(int) error { return nil }

// Send takes a frame from the guest. Nothing that is wrong with it is an error.
func (n *Network) Send(pair int, frame [][]byte) error {
	n.link.send(frame)
	return nil
}

// Answers reports whether Receive has a frame that Send may have brought about.
func (n *Network) Answers(pair int) bool { return n.link.waiting() }

// Wake ends Wait.
func (n *Network) Wake(pair int) { n.link.notify() }

// Receive fills into with the next frame for the guest and returns its size with
// the header, 0 if there is none.
func (n *Network) Receive(pair int, into [][]byte) (int, error) {
	return n.link.receive(into), nil
}

// Wait returns when Receive may have a frame. Its error is that of ctx, or
// net.ErrClosed.
func (n *Network) Wait(ctx context.Context, pair int) error { return n.link.wait(ctx) }

// Stats counts what the network did since it was started.
type Stats struct {
	FramesFromGuest, BytesFromGuest, DroppedFromGuest uint64 // dropped: shorter or longer than a frame can be
	FramesToGuest, BytesToGuest, DroppedToGuest       uint64 // dropped: the guest was too slow, or gave too little room

	Connections int    // TCP, open now
	Flows       int    // UDP and ping, open now
	Refused     uint64 // connections and flows that were not permitted, over a limit, or that the host refused
}

// Stats returns the counts as they are now.
func (n *Network) Stats() Stats {
	from, to := &n.link.fromGuest, &n.link.toGuest
	return Stats{
		FramesFromGuest:  from.frames.Load(),
		BytesFromGuest:   from.bytes.Load(),
		DroppedFromGuest: from.dropped.Load(),
		FramesToGuest:    to.frames.Load(),
		BytesToGuest:     to.bytes.Load(),
		DroppedToGuest:   to.dropped.Load(),
		Connections:      len(n.slots),
		Flows:            n.flows.count(),
		Refused:          n.refused.Load(),
	}
}

// Describe implements virtio.Describer.
func (n *Network) Describe() []virtio.Property {
	s := n.Stats()
	return []virtio.Property{
		{Name: "connections open", Value: s.Connections},
		{Name: "UDP and ping flows open", Value: s.Flows},
		{Name: "connections and flows refused", Value: s.Refused},
		{Name: "frames dropped before the guest took them", Value: s.DroppedToGuest},
	}
}
