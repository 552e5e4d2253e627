package experiment

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A peer is the server on the host that payloads talk to. It has a TCP port for
// each service.
type peer struct {
	listeners []net.Listener
	serving   sync.WaitGroup

	mu    sync.Mutex
	conns map[net.Conn]bool // guarded by mu: open ones
}

// maxConns is how many connections a peer serves at once. A payload has one.
const maxConns = 16

// The services, which are indexes of ports.
const (
	echoService   = iota // sends back what it gets
	sinkService          // reads to the end and closes
	sourceService        // writes until the other side closes
	services
)

// startPeer starts a server at an address of the host's, which need not be there
// yet: a VM's network interface comes and goes with the VM. It is nowhere else.
// It lives until close.
func startPeer(ctx context.Context, host netip.Addr) (*peer, error) {
	p := &peer{conns: make(map[net.Conn]bool)}
	config := net.ListenConfig{Control: freeBind}
	for _, serve := range [services]func(net.Conn) error{echoService: echo, sinkService: sink, sourceService: source} {
		l, err := config.Listen(ctx, "tcp4", netip.AddrPortFrom(host, 0).String())
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		p.listeners = append(p.listeners, l)
		p.serving.Go(func() { p.accept(l, serve) })
	}
	return p, nil
}

// peers are servers by the address at which they listen.
type peers map[string]*peer

// at returns the server at an address, which it starts if there is none yet.
func (p peers) at(ctx context.Context, address string) (*peer, error) {
	if p[address] != nil {
		return p[address], nil
	}
	host, err := netip.ParseAddr(address)
	if err != nil {
		return nil, err
	}
	started, err := startPeer(ctx, host)
	if err != nil {
		return nil, err
	}
	p[address] = started
	return started, nil
}

// close ends all.
func (p peers) close() error {
	var errs []error
	for _, one := range p {
		errs = append(errs, one.close())
	}
	return errors.Join(errs...)
}

// freeBind lets a socket listen at an address before it is the host's (ip(7)
// IP_FREEBIND).
func freeBind(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_FREEBIND, 1)
	})
	return errors.Join(controlErr, err)
}

// port returns a service's.
func (p *peer) port(service int) string {
	return strconv.Itoa(p.listeners[service].Addr().(*net.TCPAddr).Port)
}

// accept serves connections until the listener is closed.
func (p *peer) accept(l net.Listener, serve func(net.Conn) error) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		if !p.add(c) {
			c.Close()
			continue
		}
		p.serving.Go(func() {
			_ = serve(c) // what goes wrong, the payload says
			p.remove(c)
		})
	}
}

// add notes a connection, unless there are too many.
func (p *peer) add(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil || len(p.conns) == maxConns {
		return false
	}
	p.conns[c] = true
	return true
}

func (p *peer) remove(c net.Conn) {
	c.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.conns, c)
}

// close ends the server and all connections, and waits for it.
func (p *peer) close() error {
	var errs []error
	for _, l := range p.listeners {
		errs = append(errs, l.Close())
	}
	p.mu.Lock()
	for c := range p.conns {
		c.Close()
	}
	p.conns = nil // none is added any more
	p.mu.Unlock()
	p.serving.Wait()
	return errors.Join(errs...)
}

// peerBuffer is how much is read or written at once.
const peerBuffer = 128 << 10

func echo(c net.Conn) error {
	buffer := make([]byte, peerBuffer)
	for {
		n, err := c.Read(buffer)
		if err != nil {
			return err
		}
		if _, err := c.Write(buffer[:n]); err != nil {
			return err
		}
	}
}

func sink(c net.Conn) error {
	buffer := make([]byte, peerBuffer)
	for {
		if _, err := c.Read(buffer); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func source(c net.Conn) error {
	buffer := make([]byte, peerBuffer)
	for {
		if _, err := c.Write(buffer); err != nil {
			return err
		}
	}
}
