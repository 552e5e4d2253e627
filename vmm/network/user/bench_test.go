package user

import (
	"io"
	"net"
	"net/netip"
	"testing"

	virtionet "microvm/devices/virtio/net"
)

// How fast a guest's TCP is, with a stack like ours as the guest: half the work
// that is timed is the guest's.
func BenchmarkStream(b *testing.B) {
	for _, guest := range []struct {
		name     string
		mtu      int
		offloads virtionet.Offloads
	}{
		{"offloads", defaultMTU, allOffloads},
		{"no offloads", defaultMTU, noOffloads},
	} {
		for _, direction := range []struct {
			name string
			run  func(b *testing.B, g *fakeGuest)
		}{
			{"to the host", benchmarkToHost},
			{"to the guest", benchmarkToGuest},
		} {
			b.Run(guest.name+"/"+direction.name, func(b *testing.B) {
				n := mustNew(b, Config{MTU: guest.mtu, HostAccess: true})
				direction.run(b, connectGuest(b, n, guest.mtu, guest.offloads))
				s := n.Stats()
				b.ReportMetric(float64(s.FramesFromGuest)/float64(b.N), "frames-from/op")
				b.ReportMetric(float64(s.FramesToGuest)/float64(b.N), "frames-to/op")
				b.ReportMetric(float64(s.DroppedToGuest), "lost")
			})
		}
	}
}

func benchmarkToHost(b *testing.B, g *fakeGuest) {
	server := hostServer(b, func(c *net.TCPConn) {
		io.Copy(io.Discard, c)
		c.Write([]byte{1})
	})
	c := g.mustDial(b, server)
	block := make([]byte, megabyte)
	b.SetBytes(megabyte)
	for b.Loop() {
		if _, err := c.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	c.CloseWrite()
	io.ReadFull(c, block[:1])
}

func benchmarkToGuest(b *testing.B, g *fakeGuest) {
	server := hostServer(b, func(c *net.TCPConn) {
		for block := make([]byte, megabyte); ; {
			if _, err := c.Write(block); err != nil {
				return
			}
		}
	})
	c := g.mustDial(b, server)
	block := make([]byte, megabyte)
	b.SetBytes(megabyte)
	for b.Loop() {
		if _, err := io.ReadFull(c, block); err != nil {
			b.Fatal(err)
		}
	}
}

// How long a guest waits for the answer to one byte.
func BenchmarkRoundTrip(b *testing.B) {
	n := mustNew(b, Config{HostAccess: true})
	g := connectGuest(b, n, defaultMTU, allOffloads)
	c := g.mustDial(b, echoServer(b))
	one := make([]byte, 1)
	for b.Loop() {
		c.Write(one)
		if _, err := io.ReadFull(c, one); err != nil {
			b.Fatal(err)
		}
	}
}

// How long a guest waits for a new connection.
func BenchmarkConnect(b *testing.B) {
	n := mustNew(b, Config{HostAccess: true})
	g := connectGuest(b, n, defaultMTU, allOffloads)
	server := echoServer(b)
	for b.Loop() {
		c, err := g.dial(netip.AddrPort(server))
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}
