package user

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
)

const (
	// flowLimit bounds the flows: each takes a socket of the host and a
	// goroutine. A further one takes the place of the one unused for longest.
	flowLimit = 1024

	// flowIdle is how long a flow is kept without a datagram either way: longer
	// than applications wait before they repeat themselves.
	flowIdle = 120 * time.Second
)

// UDP and ping know no connections. What goes between one address of the guest's
// and one other is a flow: it begins with its first datagram and ends when it
// has been idle for long enough.

// A flowID names the two ends of a flow, as the guest sees them.
type flowID struct {
	protocol      tcpip.TransportProtocolNumber
	guest, remote netip.AddrPort // of a ping, the guest's port is the identifier, and the other is 0
}

// A flow carries datagrams between the guest and a socket of the host's.
type flow struct {
	host flowSocket
	used time.Time   // guarded by flows.mu
	idle *time.Timer // ends the flow
}

// A flowSocket is the host's side of a flow.
type flowSocket interface {
	// send never waits; a datagram that cannot be sent now is lost.
	send(datagram []byte)
	Close() error
}

// flows are those that are open.
type flows struct {
	mu     sync.Mutex // guards the fields below
	closed bool
	open   map[flowID]*flow
	peers  map[udpPeer]flowID // the open flows that began at a forwarded port

	lastPort uint16 // of the gateway's, given last to a peer
}

// firstEphemeral is the first port that is nobody's (RFC 6335 §6).
const firstEphemeral = 49152

// use returns the flow id, or nil, and keeps it from ending for a while.
func (f *flows) use(id flowID) *flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	fl := f.open[id]
	if fl != nil {
		fl.touch()
	}
	return fl
}

func (fl *flow) touch() {
	fl.used = time.Now()
	fl.idle.Reset(flowIdle)
}

// add opens the flow id. It returns nil, and closes the socket, after close.
func (f *flows) add(id flowID, host flowSocket) *flow {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.addLocked(id, host)
}

func (f *flows) addLocked(id flowID, host flowSocket) *flow {
	if f.closed {
		host.Close()
		return nil
	}
	if len(f.open) >= flowLimit {
		f.end(f.oldest())
	}
	fl := &flow{host: host, used: time.Now()}
	fl.idle = time.AfterFunc(flowIdle, func() { f.remove(id, fl) })
	f.open[id] = fl
	return fl
}

// ofPeer returns the flow of a forwarded port's peer, which may be new: then it
// has a port of the gateway's that is in no other flow. It returns false after
// close.
func (f *flows) ofPeer(p udpPeer, guest netip.AddrPort) (flowID, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if id, ok := f.peers[p]; ok {
		f.open[id].touch()
		return id, true
	}
	id := flowID{protocol: header.UDPProtocolNumber, guest: guest}
	for id.remote = f.nextPort(); f.open[id] != nil; id.remote = f.nextPort() {
		// It ends, for there are fewer flows than ports.
	}
	if f.addLocked(id, p) == nil {
		return flowID{}, false
	}
	f.peers[p] = id
	return id, true
}

func (f *flows) nextPort() netip.AddrPort {
	f.lastPort = max(f.lastPort+1, firstEphemeral)
	return netip.AddrPortFrom(gateway, f.lastPort)
}

// remove ends a flow, if it has not ended before.
func (f *flows) remove(id flowID, fl *flow) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.open[id] == fl {
		f.end(id)
	}
}

// end is called with f.mu held.
func (f *flows) end(id flowID) {
	fl := f.open[id]
	delete(f.open, id)
	if p, ok := fl.host.(udpPeer); ok {
		delete(f.peers, p)
	}
	fl.idle.Stop()
	fl.host.Close()
}

// oldest is called with f.mu held.
func (f *flows) oldest() (id flowID) {
	var used time.Time
	for i, fl := range f.open {
		if used.IsZero() || fl.used.Before(used) {
			id, used = i, fl.used
		}
	}
	return id
}

func (f *flows) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.open)
}

// close ends all flows.
func (f *flows) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for id := range f.open {
		f.end(id)
	}
}

// forward sends a datagram of the guest on its flow; dial makes the socket if
// there is none yet. It reports whether there is a flow.
func (n *Network) forward(id flowID, datagram []byte, dial func() (net.Conn, error), reply func([]byte)) bool {
	fl := n.flows.use(id)
	if fl == nil {
		if fl = n.openFlow(id, dial, reply); fl == nil {
			n.refused.Add(1)
			return false
		}
	}
	fl.host.send(datagram)
	return true
}

// openFlow makes a flow with a socket of its own, whose datagrams go to reply.
func (n *Network) openFlow(id flowID, dial func() (net.Conn, error), reply func([]byte)) *flow {
	conn, err := dial()
	if err != nil {
		return nil
	}
	fl := n.flows.add(id, dialed{conn})
	if fl == nil {
		return nil
	}
	n.run(func() {
		defer n.flows.remove(id, fl)
		datagram := make([]byte, maxDatagram)
		for {
			size, err := conn.Read(datagram)
			if err != nil {
				return // closed, or nobody there: the guest's next datagram tries again
			}
			n.flows.use(id)
			reply(datagram[:size])
		}
	})
	return fl
}
