package user

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestParseForward(t *testing.T) {
	for s, want := range map[string]string{
		"tcp:127.0.0.1:8080-:80":        "tcp:127.0.0.1:8080-10.0.2.15:80",
		"udp::5353-:53":                 "udp:127.0.0.1:5353-10.0.2.15:53",
		"tcp:0.0.0.0:2222-10.0.2.16:22": "tcp:0.0.0.0:2222-10.0.2.16:22",
		"tcp:[::1]:8080-:80":            "tcp:[::1]:8080-10.0.2.15:80",
		"udp:192.0.2.1:65535-:1":        "udp:192.0.2.1:65535-10.0.2.15:1",
	} {
		f, err := ParseForward(s)
		if err != nil || f.String() != want {
			t.Errorf("%s: %v, %v; want %s", s, f, err, want)
		}
	}
	for s, want := range map[string]string{
		"":                         `"" is not a protocol`,
		"sctp::1-:1":               `"sctp" is not a protocol`,
		"tcp:127.0.0.1:80":         "no guest's port",
		"tcp:8080-:80":             `host: "8080" has no :`,
		"tcp::0-:80":               `host: "0" is not a port`,
		"tcp::65536-:80":           `"65536" is not a port`,
		"tcp::8080-:http":          `guest: "http" is not a port`,
		"tcp:localhost:8080-:80":   `"localhost" is not an IP address`,
		"tcp::8080-192.168.1.1:80": "192.168.1.1 is not an address of the guest's",
		"tcp::8080-10.0.2.2:80":    "10.0.2.2 is not an address of the guest's",
	} {
		_, err := ParseForward(s)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), forwardForm) {
			t.Errorf("%q: %v; want %s", s, err, want)
		}
	}
}

func TestParseDNS(t *testing.T) {
	for s, want := range map[string]string{"192.0.2.53": "192.0.2.53:53", "127.0.0.1:5353": "127.0.0.1:5353", "2001:db8::1": "[2001:db8::1]:53"} {
		if got, err := ParseDNS(s); err != nil || got.String() != want {
			t.Errorf("%s: %v, %v", s, got, err)
		}
	}
	for _, s := range []string{"", "example.org", "192.0.2.53:0", "192.0.2.53:"} {
		if got, err := ParseDNS(s); err == nil {
			t.Errorf("%q is %v", s, got)
		}
	}
}

// All ports that cannot be opened are in the error, and none stays open.
func TestPortsThatCannotBeOpened(t *testing.T) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()

	checkLeaks(t)
	inGuest := netip.AddrPortFrom(guest, 80)
	_, err = New(Config{Forwards: []Forward{
		{"tcp", netip.MustParseAddrPort(free.Addr().String()), inGuest},
		{"tcp", netip.MustParseAddrPort(tcp.Addr().String()), inGuest},
		{"udp", netip.MustParseAddrPort(udp.LocalAddr().String()), inGuest},
		{"tcp", netip.MustParseAddrPort("192.0.2.1:8080"), inGuest},
	}})
	if err == nil {
		t.Fatal("ports in use are forwarded")
	}
	for _, want := range []string{
		"hostfwd=tcp:" + tcp.Addr().String() + "-10.0.2.15:80: another program uses this port",
		"hostfwd=udp:" + udp.LocalAddr().String() + "-10.0.2.15:80: another program uses this port",
		"hostfwd=tcp:192.0.2.1:8080-10.0.2.15:80: the host has no such address",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%v\ndoes not say: %s", err, want)
		}
	}
	again, err := net.Listen("tcp", free.Addr().String())
	if err != nil {
		t.Fatalf("a port that could be opened was not closed: %v", err)
	}
	again.Close()
}

func TestPortThatNeedsPrivilege(t *testing.T) {
	denied := &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", syscall.EACCES)}
	if err := explain(denied); !strings.Contains(err.Error(), "those below 1024 need privilege") {
		t.Error(err)
	}
	if err := explain(net.ErrClosed); err != net.ErrClosed {
		t.Errorf("what cannot be explained is %v", err)
	}
}

func TestMTUOutOfRange(t *testing.T) {
	for _, mtu := range []int{-1, 1, minMTU - 1, maxMTU + 1} {
		if n, err := New(Config{MTU: mtu}); err == nil {
			n.Close()
			t.Errorf("an MTU of %d is accepted", mtu)
		}
	}
}
