package user

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
	"gvisor.dev/gvisor/pkg/waiter"
)

const (
	// streamLimit bounds the TCP connections. Each takes a descriptor of the
	// host, two goroutines, in each direction a buffer of the stack's, and while
	// it moves data to the host a chunk. Over the limit a guest's attempt is not
	// answered, so that it tries again.
	streamLimit = 1024

	// fewStreams is how many of them may have buffers of bufferMax, and the
	// others of bufferMany: 752 MiB for all, and 256 MiB of chunks, if neither
	// the guest nor a program on the host reads anything.
	fewStreams = 64

	// pendingStreams bounds the connections that are being made, which a guest
	// asks for with one packet each.
	pendingStreams = 256

	// Bytes that the stack buffers for a connection in each direction: what fits
	// in flight. It starts with the first and grows, as far as it is of use.
	bufferDefault = 1 << 20
	bufferMax     = 4 << 20
	bufferMany    = 128 << 10 // of those beyond fewStreams

	// chunkSize is how much is moved at once, in bytes: a few of the largest
	// segments, to spare system calls.
	chunkSize = 256 << 10

	// connectTimeout bounds how long the host tries to connect.
	connectTimeout = 30 * time.Second

	// closeTimeout bounds how long a connection that both sides have ended waits
	// for the guest to acknowledge that.
	closeTimeout = 30 * time.Second

	// timeWait is short because nothing is delayed between the guest and us, and
	// because the connections in it have no other bound.
	timeWait = time.Second

	// A guest that restarts forgets its connections without a word. Those that
	// are idle for keepaliveIdle are asked after.
	keepaliveIdle = 60 * time.Second
)

// tuneTCP sets the stack's TCP for a link that is fast and loses packets only
// when the guest is slow.
func tuneTCP(s *stack.Stack) {
	sack := tcpip.TCPSACKEnabled(true)
	// RACK takes the bursts of a host of few processors for losses.
	recovery := tcpip.TCPRecovery(0)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferDefault, Max: bufferMax}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: tcp.MinBufferSize, Default: bufferDefault, Max: bufferMax}
	moderate := tcpip.TCPModerateReceiveBufferOption(true)
	wait := tcpip.TCPTimeWaitTimeoutOption(timeWait)
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &recovery, &receive, &send, &moderate, &wait} {
		must(s.SetTransportProtocolOption(tcp.ProtocolNumber, option))
	}
}

// accept makes the connection that a guest asks for. It is called on a goroutine
// of its own.
func (n *Network) accept(r *tcp.ForwarderRequest) {
	if !n.enter() {
		r.Complete(false)
		return
	}
	defer n.leave()
	if !n.takeSlot() {
		r.Complete(false)
		return
	}
	defer n.freeSlot()
	id := r.ID()
	host, err := n.dialHost(addrPort(id.LocalAddress, id.LocalPort))
	if err != nil {
		n.refused.Add(1)
		r.Complete(true)
		return
	}
	defer host.Close()
	s := stream{events: new(waiter.Queue)}
	var terr tcpip.Error
	s.Endpoint, terr = r.CreateEndpoint(s.events)
	r.Complete(false)
	if terr == nil {
		n.limit(s)
		s.relay(n.ctx, host)
	}
}

// limit bounds what the stack buffers for s, which has a slot, if there are many
// others.
func (n *Network) limit(s stream) {
	if len(n.slots) > fewStreams {
		s.SocketOptions().SetSendBufferSize(bufferMany, true)
		s.SocketOptions().SetReceiveBufferSize(bufferMany, true)
	}
}

// takeSlot reports whether there may be one connection more.
func (n *Network) takeSlot() bool {
	select {
	case n.slots <- struct{}{}:
		return true
	default:
		n.refused.Add(1)
		return false
	}
}

func (n *Network) freeSlot() { <-n.slots }

func (n *Network) dialHost(to netip.AddrPort) (*net.TCPConn, error) {
	to, err := n.reach(to)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(n.ctx, connectTimeout)
	defer cancel()
	var d net.Dialer
	return d.DialTCP(ctx, "tcp", netip.AddrPort{}, to)
}

// dialGuest connects to the guest, from the gateway.
func (n *Network) dialGuest(to netip.AddrPort) (stream, error) {
	s := stream{events: new(waiter.Queue)}
	var terr tcpip.Error
	s.Endpoint, terr = n.stack.NewEndpoint(tcp.ProtocolNumber, ipv4.ProtocolNumber, s.events)
	if terr != nil {
		return stream{}, errors.New(terr.String())
	}
	entry, connected := waiter.NewChannelEntry(waiter.WritableEvents | ended)
	s.events.EventRegister(&entry)
	defer s.events.EventUnregister(&entry)
	terr = s.Connect(tcpip.FullAddress{NIC: nicID, Addr: address(to.Addr()), Port: to.Port()})
	if _, started := terr.(*tcpip.ErrConnectStarted); started {
		select {
		case <-connected:
			terr = s.LastError()
		case <-n.ctx.Done():
			terr = &tcpip.ErrAborted{}
		case <-time.After(connectTimeout):
			terr = &tcpip.ErrTimeout{}
		}
	}
	if terr != nil {
		s.Abort()
		return stream{}, errors.New(terr.String())
	}
	return s, nil
}

// A stream is the guest's side of a TCP connection.
type stream struct {
	tcpip.Endpoint
	events *waiter.Queue
}

// ended are the events after which nothing more happens on a stream.
const ended = waiter.EventHUp | waiter.EventErr

// chunks holds memory for what is on its way to the host. A connection takes some only
// while it moves data, so that idle ones are cheap.
var chunks = sync.Pool{New: func() any { return new([chunkSize]byte) }}

// relay moves data between guest and host until both directions have ended, each
// in its own time, or one of the two breaks the connection.
func (s stream) relay(ctx context.Context, host *net.TCPConn) {
	defer s.Close()
	s.SocketOptions().SetKeepAlive(true)
	idle := tcpip.KeepaliveIdleOption(keepaliveIdle)
	s.SetSockOpt(&idle)

	reset := func() {
		s.Abort()
		host.SetLinger(0) // so that Close resets the connection
		host.Close()
	}
	defer context.AfterFunc(ctx, reset)()
	var directions sync.WaitGroup
	directions.Go(func() {
		if s.copyTo(host) != nil {
			reset()
		}
	})
	if s.copyFrom(host) != nil {
		reset()
	}
	directions.Wait()
	s.finish()
}

// copyTo moves what the guest sends to the host, and then its end.
func (s stream) copyTo(host *net.TCPConn) error {
	entry, readable := waiter.NewChannelEntry(waiter.ReadableEvents | ended)
	s.events.EventRegister(&entry)
	defer s.events.EventUnregister(&entry)
	for {
		err := s.moveTo(host)
		if err == errWouldBlock {
			<-readable
			continue
		}
		if err == io.EOF {
			return host.CloseWrite()
		}
		if err != nil {
			return err
		}
	}
}

// errWouldBlock says that the stack has nothing to read.
var errWouldBlock = errors.New("would block")

// moveTo moves what there is. io.EOF is the guest's end.
func (s stream) moveTo(host *net.TCPConn) error {
	chunk := chunks.Get().(*[chunkSize]byte)
	defer chunks.Put(chunk)
	w := tcpip.SliceWriter(chunk[:])
	r, terr := s.Read(&w, tcpip.ReadOptions{})
	switch terr.(type) {
	case nil:
		s.ModerateRecvBuf(r.Count)
		_, err := host.Write(chunk[:r.Count])
		return err
	case *tcpip.ErrWouldBlock:
		return errWouldBlock
	case *tcpip.ErrClosedForReceive:
		return io.EOF
	default:
		return errors.New(terr.String())
	}
}

// copyFrom moves what the host sends to the guest, and then its end.
func (s stream) copyFrom(host *net.TCPConn) error {
	entry, writable := waiter.NewChannelEntry(waiter.WritableEvents | ended)
	s.events.EventRegister(&entry)
	defer s.events.EventUnregister(&entry)
	raw, err := host.SyscallConn()
	if err != nil {
		return err
	}
	var moved error
	move := func(fd uintptr) bool {
		moved = s.moveFrom(received{int(fd)}, writable)
		return moved != unix.EAGAIN
	}
	for moved == nil {
		if err := raw.Read(move); err != nil {
			return err
		}
	}
	if moved != io.EOF {
		return moved
	}
	if terr := s.Shutdown(tcpip.ShutdownWrite); terr != nil {
		return errors.New(terr.String())
	}
	return nil
}

// moveFrom moves what the host's socket has now, straight into the stack's memory,
// when the guest has room for some of it. io.EOF is the host's end.
func (s stream) moveFrom(host received, writable <-chan struct{}) error {
	if err := host.await(); err != nil {
		return err
	}
	_, terr := s.Write(host, tcpip.WriteOptions{})
	switch terr.(type) {
	case nil:
		return nil
	case *tcpip.ErrWouldBlock:
		<-writable
		return nil
	default:
		return errors.New(terr.String())
	}
}

// received is what a TCP socket of the host's has received, a tcpip.Payloader. It is
// read by one goroutine.
type received struct{ fd int }

// await reports whether there is something: nil, unix.EAGAIN, or io.EOF at the end.
func (r received) await() error {
	var b [1]byte
	for {
		n, _, err := unix.Recvfrom(r.fd, b[:], unix.MSG_PEEK|unix.MSG_DONTWAIT)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n == 0:
			return io.EOF
		}
		return err
	}
}

// Len is how many bytes are read at once: those that are there, of which await has
// seen one at least. (Those behind an urgent one are not counted, tcp(7) SIOCINQ.)
func (r received) Len() int {
	n, err := unix.IoctlGetInt(r.fd, unix.SIOCINQ)
	if err != nil {
		return 1
	}
	return min(max(n, 1), chunkSize)
}

// Read reads what there is. The stack asks for Len bytes in all, and takes what comes
// before an error for lost.
func (r received) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // it only asks whether this is the end
	}
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.ErrUnexpectedEOF // io.EOF would have the stack ask for ever
		}
		return n, nil
	}
}

// finish waits for the guest to acknowledge the end.
func (s stream) finish() {
	entry, changed := waiter.NewChannelEntry(ended)
	s.events.EventRegister(&entry)
	defer s.events.EventUnregister(&entry)
	timeout := time.NewTimer(closeTimeout)
	defer timeout.Stop()
	for s.closing() {
		select {
		case <-changed:
		case <-timeout.C:
			s.Abort()
			return
		}
	}
}

// closing reports whether the stack still waits for the guest. (In TIME-WAIT it
// waits for time to pass.)
func (s stream) closing() bool {
	switch tcp.EndpointState(s.State()) {
	case tcp.StateTimeWait, tcp.StateClose, tcp.StateError:
		return false
	}
	return true
}
