package vmm_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mdlayher/vsock"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"

	"microvm/devices/guestport"
	"microvm/vmm"
	"microvm/vmm/disk"
	"microvm/vmm/network/tap"
	"microvm/vmm/network/user"
)

// What both halves of TestReprobe know.
const (
	reprobes    = 50 // of each device
	reprobePort = 5000
	reprobeDisk = 32 * vmm.MiB
	reprobeFill = 64 * vmm.MiB // of the balloon
)

// reprobeNets are the ends of the guest's network interfaces, in their order.
var reprobeNets = []struct{ host, guest netip.Prefix }{
	{netip.MustParsePrefix("10.9.0.1/24"), netip.MustParsePrefix("10.9.0.2/24")},
	{netip.MustParsePrefix("10.9.1.1/24"), netip.MustParsePrefix("10.9.1.2/24")},
	{netip.MustParsePrefix("10.0.2.2/24"), netip.MustParsePrefix("10.0.2.15/24")},
}

// Each device is taken from its driver and given back to it over and over while it
// is used. It works afterwards, and the monitor has no more of anything than
// before.
func TestReprobe(t *testing.T) {
	if inGuest() {
		reprobeGuestHalf(t)
		return
	}
	g := newGuestHalf(t).withHVC()
	// The guest's own console is not hvc0; much of the time it waits for RCU.
	// All interrupts go to the processor on which devices are unbound: see unbindHere.
	g.Cmdline = "rcupdate.rcu_expedited=1 irqaffinity=0 " + strings.Replace(g.Cmdline, vmm.ConsoleVirtio.Cmdline(), vmm.ConsoleSerial.Cmdline(), 1)
	g.CPUs = 2
	g.RNG = true
	g.Balloon = &vmm.Balloon{Target: reprobeFill, Reporting: true}
	g.addDisk(t, reprobeDisk, disk.Options{Engine: disk.EngineRing})
	g.addDisk(t, reprobeDisk, disk.Options{Overlay: true})
	g.Nets = []vmm.Net{
		{Tap: &tap.Config{Host: reprobeNets[0].host, Queues: g.CPUs}, VHost: vmm.VHostOff},
		{Tap: &tap.Config{Host: reprobeNets[1].host}},
		{User: &user.Config{}},
	}
	g.Vsock = &vmm.Vsock{CID: 3, Path: filepath.Join(t.TempDir(), "vm.sock")}
	defer echo(t, fmt.Sprintf("%s_%d", g.Vsock.Path, reprobePort))()

	var before, after footprint
	g.Trace = &vmm.Trace{Event: func(e vmm.Event) {
		switch {
		case e.Name != vmm.EventMark:
		case e.Stage == guestport.StagePayload:
			before = settledFootprint(t)
		case e.Stage == guestport.StagePayloadEnd:
			after = settledFootprint(t)
		}
	}}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	t.Logf("before: %+v", before)
	t.Logf("after:  %+v", after)
	if before.goroutines == 0 || after.leaks(before) {
		t.Errorf("the monitor has grown from %+v to %+v", before, after)
	}
	for _, d := range g.stats.Virtio {
		if d.Sessions <= reprobes || d.Errors != 0 {
			t.Errorf("%s: %d sessions, want more than %d; %d guest errors: %s", d.Name, d.Sessions, reprobes, d.Errors, d.Error)
		}
	}
}

// A footprint is what a process has of the host, but for guest memory.
type footprint struct {
	goroutines, descriptors int
	mappings                int    // of memory; a device that leaks it leaks them
	heap                    uint64 // bytes in use
}

// settledFootprint waits a little for what ends by itself after its last use.
func settledFootprint(t *testing.T) footprint {
	time.Sleep(2 * time.Second)
	return measureFootprint(t)
}

func measureFootprint(t *testing.T) footprint {
	t.Helper()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	descriptors, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Error(err)
	}
	mappings, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Error(err)
	}
	return footprint{runtime.NumGoroutine(), len(descriptors), bytes.Count(mappings, []byte("\n")), m.HeapInuse}
}

// leaks reports whether f has more than a leak at every other reprobe would make,
// of one device.
func (f footprint) leaks(before footprint) bool {
	const most = reprobes / 2
	return f.goroutines > before.goroutines+most || f.descriptors > before.descriptors+most ||
		f.mappings > before.mappings+most || f.heap > before.heap+16*vmm.MiB
}

// What each reprobe of one device leaks is seen, whatever it is, and what a quiet
// process does is not.
func TestFootprint(t *testing.T) {
	var undo []func()
	t.Cleanup(func() {
		for _, f := range undo {
			f()
		}
	})
	before := measureFootprint(t)
	if now := measureFootprint(t); now.leaks(before) {
		t.Errorf("without a leak from %+v to %+v", before, now)
	}
	for name, leak := range map[string]func(i int) (undo func()){
		"goroutine": func(int) func() {
			end := make(chan struct{})
			go func() { <-end }()
			return func() { close(end) }
		},
		"descriptor": func(int) func() {
			fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
			if err != nil {
				t.Fatal(err)
			}
			return func() { unix.Close(fd) }
		},
		"mapping": func(i int) func() {
			prot := []int{unix.PROT_READ, unix.PROT_NONE}[i%2] // neighbours that are alike become one
			b, err := unix.Mmap(-1, 0, 4096, prot, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
			if err != nil {
				t.Fatal(err)
			}
			return func() { unix.Munmap(b) }
		},
	} {
		before := measureFootprint(t)
		for i := range reprobes {
			undo = append(undo, leak(i))
		}
		if after := measureFootprint(t); !after.leaks(before) {
			t.Errorf("a %s at each reprobe is not seen: from %+v to %+v", name, before, after)
		}
	}
}

// echo answers those who connect to a Unix socket with what they send, until stop
// is called.
func echo(t *testing.T, path string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn) // the guest's reset ends it
			})
		}
	})
	return func() {
		l.Close()
		running.Wait()
	}
}

// A use is one use of a device, whose directory in /sys is dir. It fails where
// the device is gone meanwhile, and does not wait for ever.
type use func(dir string) error

// consoleMu keeps hvc0 from being taken away in the middle of a write. Linux'
// driver waits there with interrupts off, and for ever if the device is reset
// before it answers (drivers/char/virtio_console.c __send_to_port).
var consoleMu sync.Mutex

// reprobeGuestHalf reprobes the devices of one driver after the other.
func reprobeGuestHalf(t *testing.T) {
	drivers := map[string]func(place int) use{
		"virtio_console":             func(int) use { return useConsole },
		"virtio_blk":                 func(int) use { return useDisk },
		"virtio_rng":                 func(int) use { return useRNG },
		"virtio_net":                 useNet,
		"vmw_vsock_virtio_transport": func(int) use { return useVsock },
		"virtio_balloon":             newBalloonUse,
	}
	for name, newUse := range drivers {
		t.Run(name, func(t *testing.T) {
			driver := "/sys/bus/virtio/drivers/" + name
			dirs, err := filepath.Glob(driver + "/virtio*")
			if err != nil || len(dirs) == 0 {
				t.Fatalf("no devices: %q, %v", dirs, err)
			}
			var all sync.WaitGroup
			for place, dir := range dirs {
				all.Go(func() { reprobe(t, filepath.Base(dir), driver, newUse(place)) })
			}
			all.Wait()
		})
	}
}

// reprobe unbinds a device from its driver and binds it again, while it is used,
// and then sees that it can be used. Every other time it is unbound at once.
func reprobe(t *testing.T, device, driver string, u use) {
	dir := "/sys/bus/virtio/devices/" + device
	var uses atomic.Int64
	stop := make(chan struct{})
	var users sync.WaitGroup
	for range 2 {
		users.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if u(dir) == nil {
					uses.Add(1)
				} else {
					time.Sleep(10 * time.Millisecond)
				}
			}
		})
	}
	defer unbindHere(t)()
	for i := range reprobes {
		if i%2 == 1 {
			awaitUse(t, device, &uses)
		}
		for _, file := range []string{"/unbind", "/bind"} {
			if err := write(driver+file, device); err != nil {
				t.Errorf("reprobe %d of %s: %v", i, device, err)
			}
		}
	}
	awaitUse(t, device, &uses)
	close(stop)
	users.Wait()
	t.Logf("%s was used %d times", device, uses.Load())
}

// unbindHere keeps the calling goroutine on the first processor, where interrupts are
// handled, until the function that it returns is called. Linux's virtio_mmio goes
// through a device's queues in its interrupt handler without a lock, and frees them
// without waiting for the handler (6.1.192 vm_interrupt, vm_del_vqs): on another
// processor, where the end of a request has woken who unbinds, that is a use after free.
func unbindHere(t *testing.T) func() {
	runtime.LockOSThread()
	var before, first unix.CPUSet
	first.Set(0)
	if err := errors.Join(unix.SchedGetaffinity(0, &before), unix.SchedSetaffinity(0, &first)); err != nil {
		t.Error(err)
	}
	return func() {
		if err := unix.SchedSetaffinity(0, &before); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	}
}

// write writes text to a file of /sys.
func write(path, text string) error {
	if strings.Contains(path, "virtio_console") {
		consoleMu.Lock()
		defer consoleMu.Unlock()
	}
	return os.WriteFile(path, []byte(text), 0)
}

// awaitUse waits until the device is used once more.
func awaitUse(t *testing.T, device string, uses *atomic.Int64) {
	for before, deadline := uses.Load(), time.Now().Add(guestTime/4); uses.Load() == before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Errorf("%s does nothing", device)
			return
		}
	}
}

// useConsole writes a line to hvc0. The guest's console is another.
func useConsole(string) error {
	consoleMu.Lock()
	defer consoleMu.Unlock()
	f, err := os.OpenFile("/dev/hvc0", os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = fmt.Fprintf(f, "%64d\n", 0)
	return err
}

// useDisk writes a block of its own around the page cache, and reads it again.
func useDisk(dir string) error {
	nodes, err := filepath.Glob(dir + "/block/*")
	if err != nil || len(nodes) != 1 {
		return fmt.Errorf("disks %q, %v", nodes, err)
	}
	f, err := os.OpenFile("/dev/"+filepath.Base(nodes[0]), os.O_RDWR|unix.O_DIRECT, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	const size = 64 * vmm.KiB
	block, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
	if err != nil {
		return err
	}
	defer unix.Munmap(block)
	off := rand.Int64N(reprobeDisk/size) * size
	if _, err := f.WriteAt(block, off); err != nil {
		return err
	}
	_, err = f.ReadAt(block, off)
	return err
}

// useRNG reads random bytes.
func useRNG(string) error {
	f, err := os.Open("/dev/hwrng")
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.ReadFull(f, make([]byte, 256))
	return err
}

// useNet has the other end of the interface at a place answer pings.
func useNet(place int) use {
	host, guest := reprobeNets[place].host, reprobeNets[place].guest
	return func(dir string) error { return ping(dir, host.Addr(), guest) }
}

// ping has the host answer one of a burst of pings from a device's interface,
// which gets the guest's address.
func ping(dir string, host netip.Addr, guest netip.Prefix) error {
	names, err := filepath.Glob(dir + "/net/*")
	if err != nil || len(names) != 1 {
		return fmt.Errorf("interfaces %q, %v", names, err)
	}
	link, err := netlink.LinkByName(filepath.Base(names[0]))
	if err != nil {
		return err
	}
	addr, err := netlink.ParseAddr(guest.String())
	if err != nil {
		return err
	}
	if err := errors.Join(netlink.AddrReplace(link, addr), netlink.LinkSetUp(link)); err != nil {
		return err
	}
	conn, err := net.ListenPacket("ip4:icmp", guest.Addr().String())
	if err != nil {
		return err
	}
	defer conn.Close()
	request, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{Data: make([]byte, 1400)}}).Marshal(nil)
	if err != nil {
		return err
	}
	for range 8 {
		if _, err := conn.WriteTo(request, &net.IPAddr{IP: host.AsSlice()}); err != nil {
			return err
		}
	}
	if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
		return err
	}
	_, _, err = conn.ReadFrom(make([]byte, 2048))
	return err
}

// useVsock has the host send back what it is sent.
func useVsock(string) error {
	conn, err := vsock.Dial(vsock.Host, reprobePort, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	sent := make([]byte, 64*vmm.KiB)
	if _, err := conn.Write(sent); err != nil {
		return err
	}
	_, err = io.ReadFull(conn, sent)
	return err
}

// newBalloonUse returns a use that is to see the balloon take a page.
func newBalloonUse(int) use {
	var seen atomic.Value // what /proc/vmstat said
	return func(string) error {
		text, err := os.ReadFile("/proc/vmstat")
		if err != nil {
			return err
		}
		_, now, _ := strings.Cut(string(text), "balloon_inflate ")
		now, _, _ = strings.Cut(now, "\n")
		if seen.Swap(now) == now {
			return errors.New("the balloon stays as it is")
		}
		return nil
	}
}
