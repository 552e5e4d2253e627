package vmm_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"microvm/vmm"
	"microvm/vmm/network/user"
)

// A network in the monitor, without any privilege, does what a guest expects of one:
// an address by DHCP, names by DNS, downloads by HTTP from a server on the host,
// ping of the gateway, and a port of the host that leads into the guest.
func TestNetUser(t *testing.T) {
	const (
		name      = "files.test"
		port      = 8080 // where the guest listens
		listening = "the guest listens"
		greeting  = "hello from the host"
	)
	if inGuest() {
		eth0, err := net.InterfaceByName("eth0")
		if err != nil {
			t.Fatal(err)
		}
		if addrs, err := eth0.Addrs(); err != nil || !strings.HasPrefix(fmt.Sprint(addrs), "[10.0.2.15/24") {
			t.Errorf("eth0 has %v, %v", addrs, err)
		}
		if out, err := exec.Command("/bin/ping", "-c", "1", "10.0.2.2").CombinedOutput(); err != nil {
			t.Errorf("ping of the gateway: %v\n%s", err, out)
		}
		response, err := http.Get("http://" + name + ":" + os.Getenv("filesport") + "/file")
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || sha256.Sum256(body) != sha256.Sum256(transferPattern()) {
			t.Errorf("downloaded %d bytes, not those of the host; %v", len(body), err)
		}
		l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Log(listening)
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if said, err := io.ReadAll(c); err != nil || string(said) != greeting {
			t.Errorf("the host says %q, %v", said, err)
		}
		if _, err := io.WriteString(c, greeting); err != nil {
			t.Error(err)
		}
		return
	}
	files, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(transferPattern()) })}
	go server.Serve(files) // until Close
	t.Cleanup(func() { server.Close() })

	forwarded := netip.MustParseAddrPort(freePort(t))
	g := newGuestHalf(t)
	g.Cmdline = fmt.Sprintf("ip=dhcp filesport=%d %s", files.Addr().(*net.TCPAddr).Port, g.Cmdline)
	g.Nets = []vmm.Net{{User: &user.Config{
		HostAccess: true, DNS: nameServer(t, name+".", netip.MustParseAddr("10.0.2.2")),
		Forwards: []user.Forward{{Protocol: "tcp", Host: forwarded, Guest: netip.AddrPortFrom(netip.MustParseAddr("10.0.2.15"), port)}},
	}}}
	g.with(t, func(ctx context.Context, _ *vmm.Machine) {
		if !g.console.await(ctx, listening) {
			return
		}
		c, err := net.Dial("tcp", forwarded.String())
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		if _, err := io.WriteString(c, greeting); err != nil {
			t.Error(err)
		}
		if err := c.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
		if said, err := io.ReadAll(c); err != nil || string(said) != greeting {
			t.Errorf("the guest says %q, %v", said, err)
		}
	}).wants(t, vmm.EndPoweredOff, 0)
}

// freePort is an address of this host where nobody listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// nameServer answers questions for the address of name until the test's end, and
// returns where.
func nameServer(t *testing.T, name string, addr netip.Addr) netip.AddrPort {
	t.Helper()
	l, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		p := make([]byte, 512)
		for {
			n, from, err := l.ReadFrom(p)
			if err != nil {
				return // closed
			}
			var m dnsmessage.Message
			if m.Unpack(p[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			q := m.Questions[0]
			m.Response, m.Additionals = true, nil
			if q.Name.String() == name && q.Type == dnsmessage.TypeA {
				m.Answers = []dnsmessage.Resource{{
					Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
					Body:   &dnsmessage.AResource{A: addr.As4()},
				}}
			}
			if answer, err := m.Pack(); err == nil {
				l.WriteTo(answer, from)
			}
		}
	}()
	return l.LocalAddr().(*net.UDPAddr).AddrPort()
}
