package vmm_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"microvm/vmm"
	"microvm/vmm/network/tap"
	"microvm/vmm/network/user"
)

// Addresses of the cable's ends.
const (
	hostPrefix  = "10.99.0.1/24"
	hostAddr    = "10.99.0.1"
	guestPrefix = "10.99.0.2/24"
	transferAt  = hostAddr + ":7000"
)

// transferSize is what goes each way in bytes, of the same pattern.
const transferSize = 10 << 20

// transferPattern is transferSize bytes.
func transferPattern() []byte {
	b := make([]byte, transferSize)
	for i := range b {
		b[i] = byte(i*i>>8) ^ byte(i)
	}
	return b
}

// needNet skips where no tap can be made.
func needNet(t testing.TB) {
	t.Helper()
	if fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
		need(t, "/dev/net/tun: "+err.Error())
	} else {
		unix.Close(fd)
	}
	if os.Geteuid() != 0 {
		need(t, "CAP_NET_ADMIN, to make a tap interface")
	}
}

// tapNet is a network interface with a tap that is made for it.
func tapNet(vhost vmm.VHost) vmm.Net {
	return vmm.Net{Tap: &tap.Config{Name: "vmmtest0", Host: netip.MustParsePrefix(hostPrefix)}, VHost: vhost}
}

// configureGuest gives eth0 in the guest its address.
func configureGuest(t *testing.T) {
	t.Helper()
	link, err := netlink.LinkByName("eth0")
	if err != nil {
		t.Fatal(err)
	}
	addr, err := netlink.ParseAddr(guestPrefix)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(netlink.AddrAdd(link, addr), netlink.LinkSetUp(link)); err != nil {
		t.Fatal(err)
	}
}

// serveTransfer takes the pattern from one connection, and sends it back with the
// hash of what came.
func serveTransfer(l net.Listener) error {
	c, err := l.Accept()
	if err != nil {
		return err
	}
	defer c.Close()
	got, err := io.ReadAll(c)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(got)
	_, err = c.Write(append(sum[:], transferPattern()...))
	return err
}

// transfer is the other side of serveTransfer.
func transfer(t *testing.T, addr string) {
	t.Helper()
	c, err := net.DialTimeout("tcp", addr, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	want := transferPattern()
	sum := sha256.Sum256(want)
	if _, err := c.Write(want); err != nil {
		t.Fatal(err)
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != len(sum)+len(want) || string(got[:len(sum)]) != string(sum[:]) {
		t.Fatalf("%d bytes came back; the host's hash is % x, ours % x", len(got), got[:min(len(got), len(sum))], sum)
	}
	if sha256.Sum256(got[len(sum):]) != sum {
		t.Error("what the host sent did not come as it was")
	}
}

// A guest pings the host and exchanges data with it, over a tap, whoever carries the
// frames.
func TestNetTap(t *testing.T) {
	for _, vhost := range []vmm.VHost{vmm.VHostOff, vmm.VHostOn} {
		t.Run("vhost="+string(vhost), func(t *testing.T) {
			if inGuest() {
				configureGuest(t)
				if out, err := exec.Command("/bin/ping", "-c", "1", hostAddr).CombinedOutput(); err != nil {
					t.Errorf("ping: %v\n%s", err, out)
				}
				transfer(t, transferAt)
				return
			}
			needNet(t)
			g := newGuestHalf(t)
			g.Nets = []vmm.Net{tapNet(vhost)}
			g.with(t, func(ctx context.Context, _ *vmm.Machine) {
				l, err := net.Listen("tcp", transferAt) // the tap is there since the machine is
				if err != nil {
					t.Error(err)
					return
				}
				defer context.AfterFunc(ctx, func() { l.Close() })()
				if err := serveTransfer(l); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				l.Close()
			}).wants(t, vmm.EndPoweredOff, 0)
			frames := g.received(t)
			if vhost == vmm.VHostOff && frames < 100 {
				t.Errorf("%d frames for %d bytes", frames, transferSize)
			}
			if vhost == vmm.VHostOn && frames != 0 {
				t.Errorf("%d frames went through the monitor", frames)
			}
		})
	}
}

// received is how many frames went to the guest through the monitor.
func (g *guest) received(t *testing.T) uint64 {
	t.Helper()
	for _, d := range g.stats.Virtio {
		for _, p := range d.Device {
			if d.Name == "net0" && p.Name == "frames received" {
				return p.Value.(uint64)
			}
		}
	}
	t.Fatal("the network device does not say how many frames it received")
	return 0
}

// The guest sees that its cable is pulled out and plugged in, and what it sent is
// in the capture.
func TestNetLinkAndCapture(t *testing.T) {
	const ready, down = "the link is up", "the link is down"
	if inGuest() {
		configureGuest(t)
		awaitCarrier(t, "1")
		if out, err := exec.Command("/bin/ping", "-c", "1", hostAddr).CombinedOutput(); err != nil {
			t.Errorf("ping: %v\n%s", err, out)
		}
		t.Log(ready)
		awaitCarrier(t, "0")
		t.Log(down)
		awaitCarrier(t, "1")
		return
	}
	needNet(t)
	g := newGuestHalf(t)
	n := tapNet(vmm.VHostOff)
	n.PCAP = filepath.Join(t.TempDir(), "frames")
	g.Nets = []vmm.Net{n}
	g.with(t, func(ctx context.Context, m *vmm.Machine) {
		for _, change := range []struct {
			after string
			up    bool
		}{{ready, false}, {down, true}} {
			if !g.console.await(ctx, change.after) {
				return
			}
			if err := m.SetLink(0, change.up); err != nil {
				t.Error(err)
			}
		}
	}).wants(t, vmm.EndPoweredOff, 0)
	if echoes := countEchoes(t, n.PCAP); echoes != 2 {
		t.Errorf("the capture has %d echo requests and replies, not one of each", echoes)
	}
}

// awaitCarrier waits until eth0 has a carrier, or has none.
func awaitCarrier(t *testing.T, want string) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if got, err := os.ReadFile("/sys/class/net/eth0/carrier"); err == nil && strings.TrimSpace(string(got)) == want {
			return
		}
	}
	t.Fatalf("eth0's carrier does not become %s", want)
}

// countEchoes counts the frames of ICMP in a capture.
func countEchoes(t *testing.T, path string) (n int) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcapgo.NewNgReader(f, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	for {
		frame, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		const etherType, ipProtocol, icmp = 12, 14 + 9, 1
		if len(frame) > ipProtocol && frame[etherType] == 0x08 && frame[etherType+1] == 0x00 && frame[ipProtocol] == icmp {
			n++
		}
	}
}

// What is wrong with a network interface is said before there is a guest.
func TestWrongNets(t *testing.T) {
	mac := func(s string) net.HardwareAddr {
		mac, err := net.ParseMAC(s)
		if err != nil {
			t.Fatal(err)
		}
		return mac
	}
	for _, tt := range []struct {
		n    vmm.Net
		want string
	}{
		{vmm.Net{}, "at a tap or in a user network"},
		{vmm.Net{Tap: &tap.Config{}, User: &user.Config{}}, "at a tap or in a user network"},
		{vmm.Net{Tap: &tap.Config{Name: "0123456789abcdef"}}, "15 bytes"},
		{vmm.Net{Tap: &tap.Config{Queues: tap.MaxPairs + 1}}, "queues must be from 1 to 16"},
		{vmm.Net{User: &user.Config{}, MAC: mac("01:00:5e:00:00:01")}, "address of a group"},
		{vmm.Net{User: &user.Config{}, MAC: mac("00:00:00:00:00:00")}, "is no address"},
		{vmm.Net{User: &user.Config{}, MAC: mac("02:00:00:00:00:00:00:01")}, "8 bytes"},
		{vmm.Net{Tap: &tap.Config{}, MTU: 67}, "from 68 to 65535"},
		{vmm.Net{Tap: &tap.Config{}, MTU: 65536}, "from 68 to 65535"},
		{vmm.Net{User: &user.Config{}, MTU: 575}, "from 576 to 65520"},
		{vmm.Net{User: &user.Config{}, MTU: 65521}, "from 576 to 65520"},
		{vmm.Net{Tap: &tap.Config{}, VHost: vmm.VHostOn, PCAP: "frames"}, "vhost=on"},
	} {
		checkField(t, vmm.Config{Nets: []vmm.Net{tt.n}}, "net", tt.want)
	}
	captured := vmm.Net{User: &user.Config{}, PCAP: "frames"}
	checkField(t, vmm.Config{Nets: []vmm.Net{captured, captured}}, "net", "frames is given for two interfaces")
}
