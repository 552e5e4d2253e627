package user

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

const dnsPort = 53

// reach returns where the host finds what the guest addresses by to, or an error
// if the guest may not reach it.
func (n *Network) reach(to netip.AddrPort) (netip.AddrPort, error) {
	a := to.Addr()
	switch {
	case a == dns && to.Port() == dnsPort:
		return n.resolver()
	case a == gateway && n.config.HostAccess:
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), to.Port()), nil
	case network.Contains(a):
		return netip.AddrPort{}, fmt.Errorf("nothing listens at %v", to)
	case !a.IsGlobalUnicast() && !a.IsLinkLocalUnicast():
		// Among them 0.0.0.0, by which Linux means the host itself.
		return netip.AddrPort{}, fmt.Errorf("%v is not the address of one other host", a)
	case !n.config.HostAccess && ofHost(to):
		return netip.AddrPort{}, fmt.Errorf("%v is the host, which the guest may not reach", a)
	}
	return to, nil
}

// ofHost reports whether to is an address of the host's own. The host's routing
// tells: only to itself does it send from the address that it sends to.
func ofHost(to netip.AddrPort) bool {
	probe, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to)) // sends nothing
	if err != nil {
		return false // then neither will the connection be made
	}
	defer probe.Close()
	return probe.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap() == to.Addr()
}

// resolver returns the DNS server to ask. The host's may change while the guest
// runs.
func (n *Network) resolver() (netip.AddrPort, error) {
	if n.config.DNS.IsValid() {
		return n.config.DNS, nil
	}
	return hostResolver("/etc/resolv.conf")
}

// hostResolver returns the first name server of a resolver configuration
// (resolv.conf(5)).
func hostResolver(file string) (netip.AddrPort, error) {
	f, err := os.Open(file)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil {
			return netip.AddrPortFrom(a, dnsPort), nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s names no name server", file)
}
