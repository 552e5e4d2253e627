package user

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
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
	case n.config.HostAccess:
		return to, nil
	}
	if host, err := ofHost(a); err != nil {
		return netip.AddrPort{}, fmt.Errorf("no route to %v: %w", a, err)
	} else if host {
		return netip.AddrPort{}, fmt.Errorf("%v is the host, which the guest may not reach", a)
	}
	return to, nil
}

// ofHost reports whether what the host sends to a stays on it, as the kernel's
// routing has it. (The address that it would send from does not tell: of an
// interface with several it is the first, whichever of them a is.)
func ofHost(a netip.Addr) (bool, error) {
	routes, err := netlink.RouteGet(a.AsSlice())
	if err != nil {
		return false, err
	}
	local := func(r netlink.Route) bool { return r.Type == unix.RTN_LOCAL }
	return slices.ContainsFunc(routes, local), nil
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
