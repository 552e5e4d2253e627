package user

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A Forward is a port of the host that leads to one of the guest's.
type Forward struct {
	Protocol string         // tcp or udp
	Host     netip.AddrPort // where the host listens
	Guest    netip.AddrPort // where in the guest's network it leads
}

// acceptPause is waited for when the host has no descriptor left for one more
// connection.
const acceptPause = 10 * time.Millisecond

const forwardForm = "tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"

// ParseForward reads a forwarded port as it is given on the command line:
//
//	tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT
//
// Without HOSTADDR the host listens on 127.0.0.1: other hosts reach the guest
// only where that is asked for. Without GUESTADDR it leads to the address that
// the guest has by DHCP. An IPv6 HOSTADDR stands in brackets.
func ParseForward(s string) (Forward, error) {
	bad := func(why string) (Forward, error) {
		return Forward{}, fmt.Errorf("%s; it must be %s", why, forwardForm)
	}
	protocol, ports, _ := strings.Cut(s, ":")
	if protocol != "tcp" && protocol != "udp" {
		return bad(fmt.Sprintf("%q is not a protocol", protocol))
	}
	from, to, found := strings.Cut(ports, "-")
	if !found {
		return bad("no guest's port after a -")
	}
	host, err := parseEnd(from, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	if err != nil {
		return bad("host: " + err.Error())
	}
	inGuest, err := parseEnd(to, guest)
	if err != nil {
		return bad("guest: " + err.Error())
	}
	if a := inGuest.Addr(); !network.Contains(a) || a == gateway || a == dns {
		return bad(fmt.Sprintf("%v is not an address of the guest's, which are those of %v", a, network))
	}
	return Forward{protocol, host, inGuest}, nil
}

// parseEnd reads [ADDR]:PORT; the address is otherwise if there is none.
func parseEnd(s string, otherwise netip.Addr) (netip.AddrPort, error) {
	colon := strings.LastIndexByte(s, ':')
	if colon < 0 {
		return netip.AddrPort{}, fmt.Errorf("%q has no : before the port", s)
	}
	port, err := strconv.ParseUint(s[colon+1:], 10, 16)
	if err != nil || port == 0 {
		return netip.AddrPort{}, fmt.Errorf("%q is not a port from 1 to 65535", s[colon+1:])
	}
	a := otherwise
	if s := s[:colon]; s != "" {
		a, err = netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
		if err != nil {
			return netip.AddrPort{}, fmt.Errorf("%q is not an IP address", s)
		}
	}
	return netip.AddrPortFrom(a, uint16(port)), nil
}

func (f Forward) String() string { return fmt.Sprintf("%s:%v-%v", f.Protocol, f.Host, f.Guest) }

// ParseDNS reads the address of a resolver, with or without a port.
func ParseDNS(s string) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(s); err == nil {
		return netip.AddrPortFrom(a, dnsPort), nil
	}
	a, err := netip.ParseAddrPort(s)
	if err != nil || a.Port() == 0 {
		return netip.AddrPort{}, errors.New("it must be ADDR or ADDR:PORT, with an IP address")
	}
	return a, nil
}

// listen opens the forwarded ports. All that cannot be opened are in its error.
func (n *Network) listen() error {
	var failed []error
	for _, f := range n.config.Forwards {
		var err error
		switch f.Protocol {
		case "tcp":
			err = n.forwardTCP(f)
		case "udp":
			err = n.forwardUDP(f)
		default:
			err = fmt.Errorf("%q is not a protocol", f.Protocol)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("hostfwd=%v: %w", f, explain(err)))
		}
	}
	return errors.Join(failed...)
}

// explain says what the user can do about a port that cannot be opened.
func explain(err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return errors.New("another program uses this port of the host")
	case errors.Is(err, syscall.EACCES):
		return errors.New("the host does not permit this port: those below 1024 need privilege (sysctl net.ipv4.ip_unprivileged_port_start)")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return errors.New("the host has no such address")
	}
	return err
}

func (n *Network) forwardTCP(f Forward) error {
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(f.Host))
	if err != nil {
		return err
	}
	n.listening = append(n.listening, l.Addr())
	n.closers = append(n.closers, l.Close)
	n.run(func() {
		for {
			host, err := l.AcceptTCP()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				time.Sleep(acceptPause)
				continue
			}
			if !n.run(func() { n.connect(host, f.Guest) }) {
				host.Close()
			}
		}
	})
	return nil
}

// connect connects what came to a forwarded port with the guest.
func (n *Network) connect(host *net.TCPConn, to netip.AddrPort) {
	defer host.Close()
	if !n.takeSlot() {
		return
	}
	defer n.freeSlot()
	s, err := n.dialGuest(to)
	if err != nil {
		n.refused.Add(1)
		host.SetLinger(0) // a reset: nobody is there
		return
	}
	n.limit(s)
	s.relay(n.ctx, host)
}
