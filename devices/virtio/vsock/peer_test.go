package vsock_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtiotest"
	"microvm/devices/virtio/vsock"
	"microvm/kvm/guestmem"
)

// The wire once more, as the driver has it (linux/virtio_vsock.h), so that a
// wrong number in the device is found.
const (
	guestCID = 42

	request, response, rst, shutdown, rw, creditUpdate, creditRequest = 1, 2, 3, 4, 5, 6, 7

	rcvShut, sendShut = 1, 2

	headerLen = 44
)

// A packet is struct virtio_vsock_hdr with the data that follows.
type packet struct {
	hdr
	data []byte
}

type hdr struct {
	SrcCID, DstCID   uint64
	SrcPort, DstPort uint32
	Len              uint32
	Type, Op         uint16
	Flags            uint32
	BufAlloc, FwdCnt uint32
}

// A peer is a driver with the sockets of its guest.
type peer struct {
	*virtiotest.Driver
	host    *host
	dev     *vsock.Device
	rx, tx  *virtiotest.Queue
	posted  map[uint16][]virtiotest.Buffer // on rx
	sockets map[uint32]*socket             // the last of each port
	outHdr  guestmem.Addr
	outData guestmem.Addr
}

const (
	rxBuffers  = 16
	rxDataLen  = 4096
	maxPayload = 64 << 10
)

// newPeer starts a device and gives it buffers for packets.
func newPeer(t testing.TB) *peer {
	t.Helper()
	p := newIdlePeer(t)
	p.start()
	return p
}

func newIdlePeer(t testing.TB) *peer {
	noLeaks(t)
	h := &host{t: t, dialled: make(chan *net.UnixConn, 2*vsock.MaxStreams)}
	dev := virtiotest.Must(vsock.New(guestCID, h))
	return &peer{Driver: virtiotest.New(t, dev), host: h, dev: dev}
}

func (p *peer) start() {
	p.startWithoutBuffers()
	for range rxBuffers {
		p.post([]virtiotest.Buffer{p.In(headerLen), p.In(rxDataLen)})
	}
	p.rx.Notify()
}

func (p *peer) startWithoutBuffers() {
	p.Start(virtio.FeatureEventIdx)
	p.rx, p.tx = p.Queues[0], p.Queues[1]
	p.posted, p.sockets = map[uint16][]virtiotest.Buffer{}, map[uint32]*socket{}
	p.outHdr, p.outData = p.Alloc(headerLen), p.Alloc(maxPayload)
}

func (p *peer) post(b []virtiotest.Buffer) { p.posted[p.rx.Add(b...)] = b }

// sendRaw sends header and data as they are, and waits until the device has taken
// them.
func (p *peer) sendRaw(h hdr, data []byte) {
	p.T.Helper()
	p.put(h, data)
	p.tx.Notify()
	if u := p.tx.AwaitUsed(); u.Written != 0 {
		p.T.Errorf("the device says that it has written %d bytes to a packet of ours", u.Written)
	}
}

// put makes a packet available.
func (p *peer) put(h hdr, data []byte) {
	p.T.Helper()
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, h); err != nil {
		p.T.Fatal(err)
	}
	copy(p.Bytes(p.outHdr, headerLen), b.Bytes())
	out := []virtiotest.Buffer{{Addr: p.outHdr, Len: headerLen}}
	if len(data) > 0 {
		copy(p.Bytes(p.outData, len(data)), data)
		out = append(out, virtiotest.Buffer{Addr: p.outData, Len: len(data)})
	}
	p.tx.Add(out...)
}

// tryRecv takes the next packet that the device has sent, if there is one, and
// gives the buffer back.
func (p *peer) tryRecv() (packet, bool) {
	p.T.Helper()
	u, ok := p.rx.TryUsed()
	if !ok {
		return packet{}, false
	}
	return p.take(u), true
}

// recv waits for the next packet from the device.
func (p *peer) recv() packet {
	p.T.Helper()
	return p.take(p.rx.AwaitUsed())
}

func (p *peer) take(u virtiotest.Used) packet {
	p.T.Helper()
	b := p.posted[u.Head]
	delete(p.posted, u.Head)
	if u.Written < headerLen || u.Written > headerLen+rxDataLen {
		p.T.Fatalf("a packet of %d bytes", u.Written)
	}
	var got packet
	if err := binary.Read(bytes.NewReader(p.Bytes(b[0].Addr, headerLen)), binary.LittleEndian, &got.hdr); err != nil {
		p.T.Fatal(err)
	}
	if got.Len != uint32(u.Written-headerLen) || got.DstCID != guestCID || got.Type != 1 && got.Op != rst {
		p.T.Fatalf("a wrong header for %d bytes: %+v", u.Written, got.hdr)
	}
	got.data = bytes.Clone(p.Bytes(b[1].Addr, int(got.Len)))
	p.post(b)
	p.rx.Notify()
	return got
}

// quiet checks that the device sends nothing.
func (p *peer) quiet(d time.Duration) {
	p.T.Helper()
	time.Sleep(d)
	if got, ok := p.tryRecv(); ok {
		p.T.Errorf("the device sends %+v", got.hdr)
	}
}

// A socket is the guest's end of a stream.
type socket struct {
	p               *peer
	port, hostPort  uint32
	bufAlloc        uint32
	sent, received  uint32 // bytes of data
	read            uint32 // of those received, by the guest's program: our fwd_cnt
	hostAlloc       uint32
	hostFwd         uint32
	requested, ends int // packets that asked for credit, and flags of SHUTDOWN
}

func (p *peer) socket(port, hostPort uint32) *socket {
	s := &socket{p: p, port: port, hostPort: hostPort, bufAlloc: 256 << 10}
	p.sockets[port] = s
	return s
}

// header is that of a packet as a driver that keeps to the rules makes it.
func (s *socket) header(op uint16) hdr {
	return hdr{SrcCID: guestCID, DstCID: 2, SrcPort: s.port, DstPort: s.hostPort, Type: 1, Op: op, BufAlloc: s.bufAlloc, FwdCnt: s.read}
}

func (s *socket) send(op uint16) { s.p.T.Helper(); s.p.sendRaw(s.header(op), nil) }

func (s *socket) shut(flags uint32) {
	s.p.T.Helper()
	h := s.header(shutdown)
	h.Flags = flags
	s.p.sendRaw(h, nil)
}

// free is how much the device has room for.
func (s *socket) free() int { return int(s.hostAlloc - (s.sent - s.hostFwd)) }

func (s *socket) write(data []byte) {
	s.p.T.Helper()
	if len(data) > s.free() {
		s.p.T.Fatalf("the test sends %d bytes with room for %d", len(data), s.free())
	}
	h := s.header(rw)
	h.Len = uint32(len(data))
	s.sent += h.Len
	s.p.sendRaw(h, data)
}

// took notes what a packet of the device's says, and checks that the device had
// the right to send it.
func (s *socket) took(got packet) {
	s.p.T.Helper()
	if got.SrcCID != 2 || got.SrcPort != s.hostPort || got.DstPort != s.port {
		s.p.T.Fatalf("a packet of another stream: %+v; want host port %d, guest port %d", got.hdr, s.hostPort, s.port)
	}
	if got.Op == rst {
		return
	}
	if s.hostAlloc, s.hostFwd = got.BufAlloc, got.FwdCnt; s.hostAlloc == 0 || int32(s.sent-s.hostFwd) < 0 {
		s.p.T.Fatalf("the device lies about its buffer: %+v; it was sent %d bytes", got.hdr, s.sent)
	}
	switch got.Op {
	case rw:
		if s.received += got.Len; s.received-s.read > s.bufAlloc {
			s.p.T.Fatalf("the device sends %d bytes more than there is room for", s.received-s.read-s.bufAlloc)
		}
	case creditRequest:
		s.requested++
	case shutdown:
		s.ends |= int(got.Flags)
	}
}

// expect takes the next packet to the socket, which must be this. News of credit
// may come at any time.
func (s *socket) expect(op uint16) packet {
	s.p.T.Helper()
	for {
		got := s.p.recv()
		to := s.p.sockets[got.DstPort]
		switch to.took(got); {
		case to == s && got.Op == op:
			return got
		case to == s && got.Op != creditUpdate:
			s.p.T.Fatalf("operation %d, want %d: %+v", got.Op, op, got.hdr)
		}
	}
}

// readAll reads n bytes of data, and gives credit for them.
func (s *socket) readAll(n int) (all []byte) {
	s.p.T.Helper()
	for len(all) < n {
		got := s.p.recv()
		s.took(got)
		switch all = append(all, got.data...); got.Op {
		case rw:
			s.read = s.received
			if s.bufAlloc-(s.received-s.read) < 1<<20 {
				s.send(creditUpdate)
			}
		case creditRequest:
			s.send(creditUpdate)
		case creditUpdate:
		default:
			s.p.T.Fatalf("operation %d after %d of %d bytes", got.Op, len(all), n)
		}
	}
	return all
}

// askCredit asks how much room there is.
func (s *socket) askCredit() {
	s.p.T.Helper()
	s.send(creditRequest)
	s.expect(creditUpdate)
}

// fillUp sends until the device and the host's socket take no more, and returns
// what it has sent.
func (s *socket) fillUp() (all []byte) {
	s.p.T.Helper()
	for full := 0; full < 5; s.askCredit() {
		if s.free() == 0 {
			full++
			time.Sleep(5 * time.Millisecond)
			continue
		}
		full = 0
		data := bytes.Repeat([]byte{byte(len(all) >> 12)}, min(s.free(), 10000))
		s.write(data)
		all = append(all, data...)
	}
	return all
}

// connect makes a stream from the guest to the host.
func (p *peer) connect(port, hostPort uint32) (*socket, *net.UnixConn) {
	p.T.Helper()
	s := p.socket(port, hostPort)
	return s, s.connect()
}

func (s *socket) connect() *net.UnixConn {
	s.p.T.Helper()
	s.send(request)
	s.expect(response)
	return <-s.p.host.dialled
}

// dial connects one of the host's programs to a port of the guest, which has
// not accepted yet. The device may just be starting.
func (p *peer) dial(port uint32, connected func(uint32) error) (*socket, *net.UnixConn) {
	p.T.Helper()
	ours, theirs := pair(p.T)
	deadline := time.Now().Add(virtiotest.Patience)
	err := p.dev.Connect(port, ours, connected)
	for errors.Is(err, vsock.ErrNoDriver) && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
		err = p.dev.Connect(port, ours, connected)
	}
	if err != nil {
		p.T.Fatal(err)
	}
	got := p.recv()
	if got.Op != request || got.DstPort != port {
		p.T.Fatalf("%+v, want a REQUEST to port %d", got.hdr, port)
	}
	s := p.socket(port, got.SrcPort)
	s.took(got)
	return s, theirs
}

// A host is where the guest's connections go.
type host struct {
	t       testing.TB
	dialled chan *net.UnixConn // the host's programs' ends
	greet   func(program *net.UnixConn, port uint32)
}

// Ports that are not listened on, and that answer never.
const (
	closedPort = 9
	slowPort   = 10
)

func (h *host) Dial(ctx context.Context, port uint32) (vsock.Conn, error) {
	switch port {
	case closedPort:
		return nil, errors.New("nobody listens")
	case slowPort:
		<-ctx.Done()
		return nil, ctx.Err()
	}
	ours, theirs := pair(h.t)
	if h.greet != nil {
		h.greet(theirs, port)
	}
	h.dialled <- theirs
	return ours, nil
}

// pair returns both ends of a connection, which are closed at the test's end.
func pair(t testing.TB) (a, b *net.UnixConn) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	var ends [2]*net.UnixConn
	for i, fd := range fds {
		f := os.NewFile(uintptr(fd), "")
		c, err := net.FileConn(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		ends[i] = c.(*net.UnixConn)
		t.Cleanup(func() { c.Close() })
	}
	return ends[0], ends[1]
}

// noLeaks checks at the test's end that no goroutine is left.
func noLeaks(t testing.TB) {
	before := runtime.NumGoroutine()
	t.Cleanup(func() {
		deadline := time.Now().Add(virtiotest.Patience)
		for runtime.NumGoroutine() > before {
			if time.Now().After(deadline) {
				stacks := make([]byte, 1<<20)
				t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
			}
			time.Sleep(time.Millisecond)
		}
	})
}
