package vsock_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
	"microvm/devices/virtio/vsock"
)

func TestConfig(t *testing.T) {
	p := newIdlePeer(t)
	if got := p.Offered() & 0xffffff; got != 1 {
		t.Errorf("offers features %#x of the device type, want VIRTIO_VSOCK_F_STREAM alone", uint64(got))
	}
	if got := p.ReadConfig(0, 8); !bytes.Equal(got, []byte{guestCID, 0, 0, 0, 0, 0, 0, 0}) {
		t.Errorf("guest_cid is % x", got)
	}
}

func TestReservedCID(t *testing.T) {
	for _, cid := range []uint32{0, 1, 2, 0xffffffff} {
		if vsock.CheckCID(cid) == nil {
			t.Errorf("%d is taken for a guest's context ID", cid)
		}
	}
	for _, cid := range []uint32{3, 0xfffffffe} {
		if err := vsock.CheckCID(cid); err != nil {
			t.Error(err)
		}
	}
}

// A program in the guest connects to one on the host; each ends its direction
// when it is done.
func TestGuestConnects(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1024, 80)
	if s.hostAlloc != vsock.BufferSize {
		t.Errorf("buf_alloc is %d, want %d", s.hostAlloc, vsock.BufferSize)
	}
	s.write([]byte("question"))
	s.shut(sendShut)
	if got, err := io.ReadAll(conn); err != nil || string(got) != "question" {
		t.Fatalf("the host reads %q, %v", got, err)
	}
	if _, err := conn.Write([]byte("answer")); err != nil {
		t.Fatal(err)
	}
	if got := s.readAll(6); string(got) != "answer" {
		t.Fatalf("the guest reads %q", got)
	}
	conn.Close()
	if got := s.expect(shutdown); got.Flags != sendShut {
		t.Errorf("SHUTDOWN with flags %d, want %d", got.Flags, sendShut)
	}
	// Both directions have ended: the device asks for the stream's end.
	if got := s.expect(shutdown); got.Flags != rcvShut|sendShut {
		t.Errorf("SHUTDOWN with flags %d, want both", got.Flags)
	}
	s.send(rst)
	p.quiet(10 * time.Millisecond)
}

func TestRefused(t *testing.T) {
	p := newPeer(t)
	s := p.socket(1024, closedPort)
	s.send(request)
	s.expect(rst)
}

// A program on the host connects to one in the guest.
func TestHostConnects(t *testing.T) {
	p := newPeer(t)
	connected := make(chan uint32, 1)
	s, theirs := p.dial(22, func(port uint32) error { connected <- port; return nil })
	select {
	case <-connected:
		t.Fatal("connected before the guest has accepted")
	case <-time.After(10 * time.Millisecond):
	}
	s.send(response)
	if port := <-connected; port != s.hostPort {
		t.Errorf("connected from port %d, want %d", port, s.hostPort)
	}
	if _, err := theirs.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if got := s.readAll(5); string(got) != "hello" {
		t.Errorf("the guest reads %q", got)
	}
	s.write([]byte("you"))
	s.shut(sendShut | rcvShut)
	s.expect(rst)
	if got, err := io.ReadAll(theirs); err != nil || string(got) != "you" {
		t.Errorf("the host reads %q, %v", got, err)
	}
}

// The guest refuses a connection, or does not answer.
func TestHostConnectsInVain(t *testing.T) {
	p := newPeer(t)
	for _, answer := range []string{"RST", "nothing"} {
		t.Run(answer, func(t *testing.T) {
			s, theirs := p.dial(22, func(uint32) error { t.Error("connected"); return nil })
			if answer == "RST" {
				s.send(rst)
			} else {
				s.expect(rst)
			}
			if n, err := theirs.Read(make([]byte, 1)); err != io.EOF {
				t.Errorf("the host reads %d bytes, %v; want the end", n, err)
			}
			if answer == "nothing" {
				s.send(response) // too late
				s.expect(rst)
			}
		})
	}
}

func TestNoDriver(t *testing.T) {
	p := newIdlePeer(t)
	ours, _ := pair(t)
	if err := p.dev.Connect(22, ours, nil); !errors.Is(err, vsock.ErrNoDriver) {
		t.Errorf("error %v", err)
	}
}

// 64 streams carry data both ways at once, through small buffers of the guest's.
func TestManyStreams(t *testing.T) {
	const streams, size, window = 64, 200 << 10, 3000
	p := newPeer(t)
	type end struct {
		*socket
		out, in []byte
	}
	ends := map[uint32]*end{}
	var programs sync.WaitGroup
	for i := range uint32(streams) {
		s := p.socket(1000+i, 80)
		s.bufAlloc = window
		conn := s.connect()
		programs.Go(func() { // sends back what it gets
			if _, err := io.Copy(conn, conn); err != nil {
				t.Error(err)
			}
			conn.CloseWrite()
		})
		out := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(i)}).Read(out)
		ends[s.port] = &end{socket: s, out: out}
	}
	for open := streams; open > 0; {
		for _, e := range ends {
			left := e.out[e.sent:]
			if n := min(len(left), e.free(), 1+rand.IntN(20000)); n > 0 {
				if e.write(left[:n]); n == len(left) {
					e.shut(sendShut)
				}
			}
		}
		for {
			got, ok := p.tryRecv()
			if !ok {
				break
			}
			e := ends[got.DstPort]
			e.took(got)
			e.in = append(e.in, got.data...)
			switch {
			case got.Op == rw && e.received-e.read > window/2, got.Op == creditRequest:
				e.read = e.received
				e.send(creditUpdate)
			case e.ends == sendShut|rcvShut:
				e.send(rst)
				open--
			}
		}
	}
	programs.Wait()
	for port, e := range ends {
		if sha256.Sum256(e.in) != sha256.Sum256(e.out) {
			t.Errorf("port %d: %d bytes came back of %d, or others", port, len(e.in), len(e.out))
		}
	}
}

// A program on the host that does not read keeps its own stream only, and the
// device takes what it has promised to take.
func TestSlowHost(t *testing.T) {
	p := newPeer(t)
	slow, slowConn := p.connect(1, 80)
	sent := slow.fillUp()
	other, conn := p.connect(2, 80)
	other.write([]byte("ping"))
	if _, err := io.ReadFull(conn, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	// The program reads, and the guest may send again, without asking.
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(slowConn, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("the host reads other bytes than the guest sent, %v", err)
	}
	for slow.free() < vsock.BufferSize/2 {
		slow.expect(creditUpdate)
	}
	slow.send(creditRequest)
	for slow.free() != vsock.BufferSize {
		slow.expect(creditUpdate)
	}
}

// A guest that does not read keeps its own stream only.
func TestSlowGuest(t *testing.T) {
	p := newPeer(t)
	slow := p.socket(1, 80)
	slow.bufAlloc = 10
	slowConn := slow.connect()
	if _, err := slowConn.Write(make([]byte, 25)); err != nil {
		t.Fatal(err)
	}
	if got := slow.expect(rw); got.Len != 10 {
		t.Fatalf("%d bytes, want 10", got.Len)
	}
	slow.expect(creditRequest)
	slow.send(creditUpdate) // no more than before
	other, conn := p.connect(2, 80)
	if _, err := conn.Write([]byte("pong")); err != nil {
		t.Fatal(err)
	}
	if got := other.expect(rw); string(got.data) != "pong" {
		t.Errorf("got %q", got.data)
	}
	slow.read = 10
	slow.send(creditUpdate)
	if got := slow.expect(rw); got.Len != 10 {
		t.Errorf("%d bytes, want 10", got.Len)
	}
	slow.bufAlloc = 5 // less than is under way: no room at all
	slow.read = 15
	slow.send(creditUpdate)
	slow.expect(creditRequest)
	p.quiet(10 * time.Millisecond)
	slow.read = 20
	slow.send(creditUpdate)
	if got := slow.expect(rw); got.Len != 5 {
		t.Errorf("%d bytes, want 5", got.Len)
	}
}

// Packets are taken from tx while rx is empty (virtio-v1.2 §5.10.6.1.2).
func TestReceivesWithoutRX(t *testing.T) {
	p := newIdlePeer(t)
	p.startWithoutBuffers()
	s := p.socket(1, 80)
	s.send(request)
	conn := <-p.host.dialled
	for range 100 {
		p.socket(2, 80).send(creditRequest) // of no stream: each is to get an RST
	}
	for range rxBuffers {
		p.post([]virtiotest.Buffer{p.In(headerLen), p.In(rxDataLen)})
	}
	p.rx.Notify()
	resets := 0
	for s.hostAlloc == 0 || resets < 100 {
		if got := p.recv(); got.Op == rst {
			resets++
		} else {
			s.took(got)
		}
	}
	s.write([]byte("x"))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
}

// What the guest had sent before it closed its socket, or was reset, reaches
// the host's program; the guest has its port back at once.
func TestLastBytes(t *testing.T) {
	for _, how := range []string{"SHUTDOWN", "RST", "a reset of the device"} {
		t.Run(how, func(t *testing.T) {
			p := newPeer(t)
			s, conn := p.connect(1, 80)
			s.write(make([]byte, 60000))
			s.write(make([]byte, 60000))
			switch how {
			case "SHUTDOWN":
				s.shut(sendShut | rcvShut)
				s.expect(rst)
				p.connect(1, 80)
			case "RST":
				s.send(rst)
			default:
				p.Reset()
			}
			if got, err := io.ReadAll(conn); err != nil || len(got) != 120000 {
				t.Errorf("the host reads %d bytes of 120000, %v", len(got), err)
			}
		})
	}
}

// Data that waits for room on rx is not sent to a stream that has ended meanwhile:
// another may have its ports by then.
func TestNoDataAfterRST(t *testing.T) {
	p := newIdlePeer(t)
	p.startWithoutBuffers()
	buffer := func() { p.post([]virtiotest.Buffer{p.In(headerLen), p.In(rxDataLen)}); p.rx.Notify() }
	s := p.socket(1, 80)
	s.send(request)
	conn := <-p.host.dialled
	if _, err := conn.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	buffer()
	if u := p.rx.AwaitUsed(); u.Written != headerLen {
		t.Fatalf("%d bytes, want a RESPONSE", u.Written)
	}
	time.Sleep(20 * time.Millisecond) // for the data to wait
	s.send(rst)
	buffer()
	p.quiet(20 * time.Millisecond)
}

// A program on the host that has gone: the guest learns that nobody reads.
func TestHostGone(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	conn.Close()
	s.expect(shutdown)
	s.write([]byte("is there anybody?"))
	for s.expect(shutdown).Flags != rcvShut|sendShut {
	}
	for range 5 { // what is on the way is dropped, and breaks no rule
		s.write(make([]byte, maxPayload))
		s.askCredit()
	}
	s.send(rst)
}

// A guest that says it receives no more: the host's program learns it.
func TestGuestReceivesNoMore(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	s.shut(rcvShut)
	s.expect(shutdown)
	var err error
	for err == nil {
		_, err = conn.Write(make([]byte, 1000))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("writing: %v", err)
	}
	s.write([]byte("but it sends"))
	if _, err := io.ReadFull(conn, make([]byte, 12)); err != nil {
		t.Error(err)
	}
	p.quiet(10 * time.Millisecond)
}

// A reset at any moment ends all streams and leaves nothing behind.
func TestResets(t *testing.T) {
	p := newIdlePeer(t)
	before := descriptors(t)
	var conns []*net.UnixConn
	for range 20 {
		p.start()
		p.socket(7, slowPort).send(request)
		for port := range uint32(5) {
			s, conn := p.connect(port, 80)
			conns = append(conns, conn)
			s.write(make([]byte, 1000))
			if _, err := conn.Write(make([]byte, 100000)); err != nil {
				t.Fatal(err)
			}
		}
		ours, theirs := pair(t)
		conns = append(conns, theirs)
		if err := p.dev.Connect(22, ours, func(uint32) error { return nil }); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		p.Reset()
		if took := time.Since(began); took > time.Second {
			t.Errorf("a reset took %v", took)
		}
		for _, c := range conns {
			c.SetReadDeadline(time.Now().Add(virtiotest.Patience))
			if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal("a stream outlived the reset")
			}
			c.Close()
		}
		conns = conns[:0]
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}

// descriptors counts this process's open files.
func descriptors(t *testing.T) int {
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(fds)
}

// A reset does not wait for a program on the host that does not read.
func TestResetWithSlowHost(t *testing.T) {
	p := newPeer(t)
	s, _ := p.connect(1, 80)
	s.fillUp()
	began := time.Now()
	p.Reset()
	if took := time.Since(began); took > time.Second {
		t.Errorf("a reset took %v", took)
	}
}

// There are at most MaxStreams, however slow the host is to connect.
func TestMaxStreams(t *testing.T) {
	p := newPeer(t)
	for port := range uint32(vsock.MaxStreams) {
		p.socket(port, slowPort).send(request)
	}
	s := p.socket(vsock.MaxStreams, 80)
	s.send(request)
	s.expect(rst)
	ours, _ := pair(t)
	if err := p.dev.Connect(22, ours, nil); !errors.Is(err, vsock.ErrTooMany) {
		t.Errorf("error %v", err)
	}
	// One that ends makes room.
	p.socket(0, slowPort).send(rst)
	p.Reset()
	p.start()
	p.connect(1, 80)
}

// A driver without the queues for packets gets none.
func TestNoQueues(t *testing.T) {
	p := newIdlePeer(t)
	p.Negotiate(virtio.FeatureVersion1)
	p.SetStatus(virtio.StatusDriverOK)
	p.Reset()
}

// What SHUTDOWN has said stays said.
func TestShutdownAddsUp(t *testing.T) {
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	s.shut(sendShut)
	s.shut(0)
	if _, err := io.ReadAll(conn); err != nil {
		t.Error(err)
	}
	s.shut(rcvShut)
	s.expect(rst)
}

// A guest that does not end a stream that both sides have shut down is told that
// it has ended.
func TestForcedDisconnect(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as the device's patience: 8 s")
	}
	p := newPeer(t)
	s, conn := p.connect(1, 80)
	s.shut(sendShut)
	conn.Close()
	for s.ends != rcvShut|sendShut {
		s.expect(shutdown)
	}
	began := time.Now()
	s.expect(rst)
	if took := time.Since(began); took < 7*time.Second {
		t.Errorf("the guest had only %v", took)
	}
}
