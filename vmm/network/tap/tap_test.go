package tap_test

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"microvm/devices/virtio/net"
	"microvm/vmm/network/tap"
)

// need skips the test because something is missing on this host, or fails it if
// MICROVM_NOSKIP says that nothing may be.
func need(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("MICROVM_NOSKIP") != "" {
		t.Fatalf("missing, and MICROVM_NOSKIP is set: %s", what)
	}
	t.Skipf("SKIPPED, missing on this host: %s", what)
}

// ownNetwork gives the test a network namespace in which it may do what it likes.
// It is its thread's, which ends with the test.
func ownNetwork(t testing.TB) {
	t.Helper()
	if _, err := os.Stat("/dev/net/tun"); err != nil {
		need(t, err.Error())
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		need(t, "CAP_SYS_ADMIN, for a network namespace: "+err.Error())
	}
}

// open opens a tap that is closed at the test's end.
func open(t testing.TB, c tap.Config) *tap.Tap {
	t.Helper()
	n, err := tap.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// echoFrame is an Ethernet frame with an ICMP echo request from 10.1.0.2 to
// 10.1.0.1, and its header.
func echoFrame(to []byte) [][]byte {
	f := append(bytes.Clone(to), 2, 0, 0, 0, 0, 9, 0x08, 0x00)
	f = append(f, 0x45, 0, 0, 28, 0, 0, 0, 0, 64, 1, 0, 0, 10, 1, 0, 2, 10, 1, 0, 1)
	f = append(f, 8, 0, 0xf7, 0xff, 0, 0, 0, 0)
	sum := uint32(0)
	for i := 14; i < 34; i += 2 {
		sum += uint32(f[i])<<8 | uint32(f[i+1])
	}
	sum = ^(sum>>16 + sum&0xffff)
	f[24], f[25] = byte(sum>>8), byte(sum)
	return [][]byte{make([]byte, net.HeaderSize), f[:20], f[20:]}
}

// receive waits for the next frame that want reports as the one.
func receive(t *testing.T, n *tap.Tap, want func([]byte) bool) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for {
		header, a, b := make([]byte, net.HeaderSize), make([]byte, 20), make([]byte, net.MaxFrame)
		switch size, err := n.Receive(0, [][]byte{header, a, b}); {
		case err != nil:
			t.Fatal(err)
		case size == 0:
			if err := n.Wait(ctx, 0); err != nil {
				t.Fatal(err)
			}
		default:
			frame := append(a, b...)[:size-net.HeaderSize]
			if want(frame) {
				return frame
			}
		}
	}
}

// A tap that is made carries frames both ways, and is gone afterwards.
func TestMadeTap(t *testing.T) {
	ownNetwork(t)
	n := open(t, tap.Config{Name: "t0", Host: netip.MustParsePrefix("10.1.0.1/24"), MTU: 1400})
	if n.Name() != "t0" || n.Pairs() != 1 {
		t.Errorf("name %s, %d pairs", n.Name(), n.Pairs())
	}
	link, err := netlink.LinkByName("t0")
	if err != nil {
		t.Fatal(err)
	}
	if link.Attrs().MTU != 1400 {
		t.Errorf("MTU %d", link.Attrs().MTU)
	}
	peer := &netlink.Neigh{LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT,
		IP: netip.MustParseAddr("10.1.0.2").AsSlice(), HardwareAddr: []byte{2, 0, 0, 0, 0, 9}}
	if err := netlink.NeighAdd(peer); err != nil {
		t.Fatal(err)
	}
	if err := n.SetOffloads(n.Offloads()); err != nil {
		t.Fatal(err)
	}
	if err := n.Send(0, echoFrame(link.Attrs().HardwareAddr)); err != nil {
		t.Fatal(err)
	}
	const ipProtocol, icmpType = 14 + 9, 14 + 20
	receive(t, n, func(f []byte) bool { return len(f) > icmpType && f[ipProtocol] == 1 && f[icmpType] == 0 })
	if err := n.Close(); err != nil {
		t.Error(err)
	}
	if _, err := netlink.LinkByName("t0"); !errors.As(err, &netlink.LinkNotFoundError{}) {
		t.Errorf("after Close: %v", err)
	}
}

// The kernel names one without a name.
func TestUnnamedTap(t *testing.T) {
	ownNetwork(t)
	if n := open(t, tap.Config{}); !strings.HasPrefix(n.Name(), "tap") {
		t.Errorf("name %s", n.Name())
	}
}

// Frames that the kernel does not take are lost, and no error.
func TestLostFrames(t *testing.T) {
	ownNetwork(t)
	n := open(t, tap.Config{Name: "t0"})
	link, err := netlink.LinkByName("t0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	if err := n.Send(0, echoFrame(link.Attrs().HardwareAddr)); err != nil {
		t.Error(err)
	}
	for _, p := range n.Describe() {
		if strings.Contains(p.Name, "did not take") && p.Value != uint64(1) {
			t.Errorf("%s: %v", p.Name, p.Value)
		}
	}
	if err := netlink.LinkDel(link); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Receive(0, [][]byte{make([]byte, net.HeaderSize), make([]byte, 100)}); err == nil || !strings.Contains(err.Error(), "was deleted") {
		t.Errorf("after the interface was deleted: %v", err)
	}
}

// Wait ends with its context, also when it is another than before, and when it ended
// before.
func TestWaitEnds(t *testing.T) {
	ownNetwork(t)
	n := open(t, tap.Config{Name: "t0"})
	link, err := netlink.LinkByName("t0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetDown(link); err != nil { // nothing comes
		t.Fatal(err)
	}
	drain := [][]byte{make([]byte, net.HeaderSize), make([]byte, net.MaxFrame)}
	for size := 1; size > 0; {
		if size, err = n.Receive(0, drain); err != nil {
			t.Fatal(err)
		}
	}
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 0, 20 * time.Millisecond} {
		ctx, cancel := context.WithTimeout(t.Context(), after)
		for n.Wait(ctx, 0) == nil {
			if ctx.Err() != nil {
				t.Error("Wait returned no error when the context was done")
				break
			}
		}
		cancel()
	}
}

func TestSeveralQueues(t *testing.T) {
	ownNetwork(t)
	n := open(t, tap.Config{Name: "t0", Queues: 3})
	if n.Pairs() != 3 {
		t.Fatalf("%d pairs", n.Pairs())
	}
	for _, pairs := range []int{1, 3, 2, 2, 3, 1} {
		if err := n.SetPairs(pairs); err != nil {
			t.Errorf("%d pairs: %v", pairs, err)
		}
	}
}

// persistent makes an interface that stays.
func persistent(t *testing.T, mode netlink.TuntapMode, flags netlink.TuntapFlag) {
	t.Helper()
	link := &netlink.Tuntap{LinkAttrs: netlink.LinkAttrs{Name: "t0"}, Mode: mode, Flags: flags, Queues: 1}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	for _, f := range link.Fds {
		f.Close()
	}
}

// One that exists is used as it is, whether it has several queues or not.
func TestExistingTap(t *testing.T) {
	for _, flags := range []netlink.TuntapFlag{0, netlink.TUNTAP_MULTI_QUEUE | netlink.TUNTAP_VNET_HDR} {
		ownNetwork(t)
		persistent(t, netlink.TUNTAP_MODE_TAP, flags|netlink.TUNTAP_NO_PI)
		n, err := tap.Open(tap.Config{Name: "t0"})
		if err != nil {
			t.Fatalf("flags %#x: %v", flags, err)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
		if _, err := netlink.LinkByName("t0"); err != nil {
			t.Errorf("after Close: %v", err)
		}
	}
}

func TestTapsThatCannotBe(t *testing.T) {
	for name, tt := range map[string]struct {
		prepare func(*testing.T)
		c       tap.Config
		want    string
	}{
		"another kind":          {func(*testing.T) {}, tap.Config{Name: "lo"}, "lo is no tap but an interface of type"},
		"a tun":                 {func(t *testing.T) { persistent(t, netlink.TUNTAP_MODE_TUN, netlink.TUNTAP_NO_PI) }, tap.Config{Name: "t0"}, "is a tun interface"},
		"one queue":             {func(t *testing.T) { persistent(t, netlink.TUNTAP_MODE_TAP, netlink.TUNTAP_NO_PI) }, tap.Config{Name: "t0", Queues: 2}, "multi_queue"},
		"in use":                {func(t *testing.T) { open(t, tap.Config{Name: "t0"}) }, tap.Config{Name: "t0"}, "in use by another program"},
		"name too long":         {func(*testing.T) {}, tap.Config{Name: "0123456789abcdef"}, "15 bytes"},
		"not permitted":         {dropPrivileges, tap.Config{Name: "t0"}, "as root: ip tuntap add dev t0 mode tap user "},
		"unnamed, unprivileged": {dropPrivileges, tap.Config{}, "as root: ip tuntap add dev tap0 mode tap user "},
	} {
		t.Run(name, func(t *testing.T) {
			ownNetwork(t)
			tt.prepare(t)
			if n, err := tap.Open(tt.c); err == nil {
				n.Close()
				t.Error("no error")
			} else if !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v; want %q", err, tt.want)
			}
		})
	}
}

// dropPrivileges takes the thread's capabilities, for good.
func dropPrivileges(t *testing.T) {
	t.Helper()
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
}
