package net

import (
	"context"

	"microvm/devices/virtio"
)

// A Backend is the other end of the device's cable: it carries Ethernet frames
// without their check sequence, at most [MaxFrame] bytes each.
//
// A frame is in pieces. The first is a header of [HeaderSize] bytes
// (virtio-v1.2 §5.1.6) and nothing else, in memory of the monitor: what a guest
// has put there was copied and checked. The others alias guest memory, which the
// guest goes on writing.
//
// For each pair of queues one goroutine calls Send, another Wait, and Receive either
// of them, one at a time; nothing else is called meanwhile but SetPairs, SetOffloads
// and Close, and Close only when neither runs.
type Backend interface {
	// Pairs is how many pairs of queues it can serve, at least one.
	Pairs() int
	// Offloads are what frames from the guest may ask for, and what those to
	// the guest may leave to it.
	Offloads() Offloads
	// SetOffloads says what the guest accepts, of Offloads, in the frames that
	// it receives. At first it accepts nothing.
	SetOffloads(accepted Offloads) error
	// SetPairs says that the guest takes frames from the first n pairs only.
	// At first that is one.
	SetPairs(n int) error
	// Send takes one frame from the guest. It must not keep the pieces. A
	// frame that cannot be had is lost, as on any cable; an error ends the
	// machine.
	Send(pair int, frame [][]byte) error
	// Answers reports whether there are frames for the guest that have come
	// about inside Send. They need not end Wait: who has called Send receives
	// them, for which no other thread is woken, or calls Wake.
	Answers(pair int) bool
	// Wake ends Wait, or the next one.
	Wake(pair int)
	// Receive puts the next frame for the guest into the pieces of into, which
	// have room for any, and returns its length with the header: 0 if there
	// is none now. It need not fill num_buffers.
	Receive(pair int, into [][]byte) (n int, err error)
	// Wait returns when Receive may have a frame, or with ctx's error when ctx
	// is done.
	Wait(ctx context.Context, pair int) error
	// Close gives everything back to the host.
	Close() error
}

// A Server is a Backend that serves the queues itself, in the place of Send,
// Receive and Wait.
type Server interface {
	Backend
	// Serves reports whether it can, with these features negotiated.
	Serves(f virtio.Features) bool
	// Serve carries the frames of the first pairs of queues of s until ctx
	// is done. The error is of the kind that a device's Run returns.
	Serve(ctx context.Context, s *virtio.Session, pairs int) error
	// SetLink says whether frames are carried; at first they are.
	SetLink(up bool) error
}

// Offloads are what one side leaves to the other in a frame.
type Offloads struct {
	Checksum bool // to complete a TCP or UDP checksum
	TSO4     bool // to cut TCP over IPv4 into segments; needs Checksum
	TSO6     bool // the same over IPv6
	ECN      bool // such segments may have TCP's ECN bits; needs TSO4 or TSO6
}
