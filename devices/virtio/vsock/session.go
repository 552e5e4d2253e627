package vsock

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"microvm/devices"
	"microvm/devices/virtio"
)

// A session is a device with its streams, from DRIVER_OK until the reset.
type session struct {
	dev     *Device
	out     transmitter
	tx      *virtio.Queue
	ctx     context.Context // done when the session ends
	cancel  context.CancelCauseFunc
	replies chan reply // to what the guest sent; filled only by receive

	streams sync.WaitGroup // their goroutines

	mu       sync.Mutex
	open     map[flow]*stream // guarded by mu, as all below: the streams that the guest knows of
	live     map[*stream]bool // those that have goroutines
	ended    bool             // no stream begins
	nextPort uint32           // of the host's end of the next connection to the guest
}

// A reply is what the guest is to get: a header, or a stream's credit.
type reply struct {
	header header
	credit *stream // nil for a header
}

// A flow tells the streams apart. The CIDs are the same for all.
type flow struct{ guest, host uint32 }

// firstPort is where the host's ends of connections to the guest have their
// ports from: above those that programs listen on.
const firstPort = 1 << 30

func newSession(ctx context.Context, d *Device, rx, tx *virtio.Queue) *session {
	s := &session{
		dev: d, tx: tx, replies: make(chan reply, maxReplies),
		open: make(map[flow]*stream), live: make(map[*stream]bool), nextPort: firstPort,
	}
	s.ctx, s.cancel = context.WithCancelCause(ctx)
	s.out = transmitter{ctx: s.ctx, fail: s.end, q: rx}
	return s
}

// run serves the driver until the session ends, and returns why.
func (s *session) run() error {
	var answering sync.WaitGroup
	answering.Go(func() { s.end(s.answer()) })
	s.end(s.receive())
	answering.Wait()
	s.hurry()
	s.streams.Wait()
	return context.Cause(s.ctx)
}

// end ends the session. The first reason stands.
func (s *session) end(err error) {
	s.cancel(err)
	// Not every reason rings the doorbells itself.
	for _, q := range []*virtio.Queue{s.tx, s.out.q} {
		_ = q.Ring() // only a bad descriptor fails, and then nobody waits for it
	}
}

// hurry makes the streams end soon, and lets none begin.
func (s *session) hurry() {
	s.mu.Lock()
	s.ended = true
	streams := slices.Collect(maps.Keys(s.live))
	s.mu.Unlock()
	for _, st := range streams {
		st.hurry()
	}
}

// answer sends replies as they come.
func (s *session) answer() error {
	for {
		select {
		case r := <-s.replies:
			if r.credit != nil {
				r.credit.send(opCreditUpdate, 0)
			} else if err := s.out.transmitHeader(r.header); err != nil {
				return err
			}
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// errTaken is why a stream cannot begin whose ports another has got since they were
// found to be free: of a guest and the host, who connected at once.
var errTaken = errors.New("another stream has these ports")

// begin makes st one of the session's streams, and runs it.
func (s *session) begin(st *stream, run func()) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.ended:
		return ErrNoDriver
	case len(s.live) == MaxStreams:
		s.dev.refused.Add(1)
		return ErrTooMany
	case s.open[st.flow] != nil:
		return errTaken
	}
	s.live[st] = true
	s.open[st.flow] = st
	s.streams.Go(func() {
		run()
		s.mu.Lock()
		delete(s.live, st)
		s.mu.Unlock()
	})
	return nil
}

// connect is Device.Connect.
func (s *session) connect(port uint32, conn Conn, connected func(uint32) error) error {
	st := s.newStream(s.freeFlow(port))
	st.conn = conn
	return s.begin(st, func() { st.connectGuest(connected) })
}

// freeFlow returns a flow to a port of the guest that no stream has. It does not
// return it again before all others.
func (s *session) freeFlow(port uint32) flow {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		f := flow{guest: port, host: s.nextPort}
		if s.nextPort++; s.nextPort == 1<<32-1 { // VMADDR_PORT_ANY
			s.nextPort = firstPort
		}
		if s.open[f] == nil {
			return f
		}
	}
}

func (s *session) find(f flow) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open[f]
}

// forget makes the flow of st free for another stream.
func (s *session) forget(st *stream) {
	s.mu.Lock()
	delete(s.open, st.flow)
	s.mu.Unlock()
}

func broken(section, format string, args ...any) error {
	return &devices.GuestError{Rule: "virtio-v1.2 §" + section, Detail: fmt.Sprintf(format, args...)}
}
