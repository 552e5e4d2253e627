package main

import (
	"os/exec"
	"strings"
	"testing"
)

// netTurns is how many turns each arm has for each workload.
const netTurns = 6

// netWorkloads are what a network is measured with: TCP to the host and from it, and
// round trips of ICMP echo.
var netWorkloads = []string{"to", "from", "roundtrips"}

// BenchmarkNet compares networks with QEMU's: over a tap interface each, without and
// with vhost-net, and in user mode, where the host is at 10.0.2.2.
func BenchmarkNet(b *testing.B) {
	taps := []string{tapInterface(b, "bench0", "10.0.5.1/24"), tapInterface(b, "bench1", "10.0.6.1/24")}
	iperfServer(b)
	for _, vhost := range []string{"off", "on"} {
		b.Run("tap vhost "+vhost, func(b *testing.B) {
			for range b.N {
				compareInTurns(b, netTurns, netWorkloads, []guestArm{
					between(oursWith(b, "vmm", "--net", "tap="+taps[0]+",vhost="+vhost), "10.0.5.1", "10.0.5.2"),
					between(qemuNet(b, "tap,ifname="+taps[1]+",script=no,downscript=no,vhost="+vhost), "10.0.6.1", "10.0.6.2"),
				}, "net.sh")
			}
		})
	}
	b.Run("user", func(b *testing.B) {
		for range b.N {
			compareInTurns(b, netTurns, netWorkloads, []guestArm{
				between(oursWith(b, "vmm", "--net", "user,host=on"), "10.0.2.2", "10.0.2.15"),
				between(qemuNet(b, "user"), "10.0.2.2", "10.0.2.15"),
			}, "net.sh")
		}
	})
}

// qemuNet is QEMU's smallest machine with a network.
func qemuNet(b *testing.B, netdev string) guestArm {
	b.Helper()
	return qemuWith(b, "qemu", "-netdev", netdev+",id=n", "-device", "virtio-net-device,netdev=n")
}

// between is an arm whose guest finds the host at an address, and has one itself.
func between(a guestArm, host, guest string) guestArm {
	a.args = []string{host, guest}
	return a
}

// tapInterface makes a tap interface with an address for the host, and returns its
// name.
func tapInterface(b *testing.B, name, address string) string {
	b.Helper()
	for _, args := range []string{"tuntap add dev " + name + " mode tap", "addr add " + address + " dev " + name, "link set " + name + " up"} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			b.Fatalf("ip %s: %v\n%s", args, err, out)
		}
	}
	b.Cleanup(func() { _ = exec.Command("ip", "link", "del", name).Run() }) // it goes with the emulated host
	return name
}

// iperfServer runs an iperf3 server until the benchmark's end.
func iperfServer(b *testing.B) {
	b.Helper()
	server := exec.Command("iperf3", "--server")
	if err := server.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		_ = server.Process.Kill()
		_ = server.Wait() // it was killed
	})
}
