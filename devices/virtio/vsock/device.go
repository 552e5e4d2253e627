// Package vsock is the virtio socket device (virtio-v1.2 §5.10): streams between
// programs in the guest and programs on the host, without a network.
//
//	 guest                        device                                   host
//	            tx queue   receive: one goroutine
//	program ──────────────> finds the stream, checks ──> fifo ──> drain ──> Conn
//	                        the guest's credit                 └─ credit update
//	            rx queue                                             │
//	program <────────────── transmitter <───────── credit? <── pump ─┴───── Conn
//	                              └─ replies: RST, credit updates
//
// Each stream has two goroutines, one for each direction, which wait for the
// host's program; the guest's packets never do. The transmitter is a lock: who
// has it may wait for the guest to give buffers, since nobody else could send
// without one either.
//
// Data is copied once in each direction. To the guest, one read of the host's
// socket fills many packets, where a Linux driver's buffers have 4 KiB; from the
// guest, the buffer is given back at once, and a host's program that does
// not read keeps nothing but its own stream's buffer.
//
// # How a stream ends
//
// Each direction ends by itself: the end of what the host's program sends
// becomes SHUTDOWN with the flag SEND, and the guest's SHUTDOWN ends what that
// program reads. When the guest has shut both down or reset the stream, its
// ports are free at once; what it has sent before still goes to the host's
// program. Data that had to be dropped because a program does not read any more
// counts as forwarded.
//
// The event queue stays unused: the one event, TRANSPORT_RESET, is for a guest
// whose host has changed under it (virtio-v1.2 §5.10.6.7). A driver that resets
// the device knows that its streams are gone.
//
// # Locks
//
// In this order: transmitter.bulk, transmitter.mu, stream.mu, session.mu. Only the
// transmitter's are held while anything is waited for.
package vsock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"microvm/devices/virtio"
)

// Limits of what a guest, or the programs of the host, can make large.
const (
	// BufferSize is the room for what the guest has sent and the host's
	// program has not taken, for each stream: the buf_alloc that the guest is
	// told, in bytes. Two packets of the 64 KiB that Linux sends at most fit
	// in, so that one is sent while another is written.
	BufferSize = 128 << 10
	// MaxStreams bounds the streams, those being connected and those whose
	// last bytes are on the way to the host's program included. Each has two
	// goroutines, a descriptor, and at most BufferSize and readSize bytes of
	// buffers: 160 MiB for all of them if nobody reads.
	MaxStreams = 1024
	// maxReplies bounds the replies that wait for the guest to give buffers.
	// When there are so many, no packet is taken from the guest until it does
	// (virtio-v1.2 §5.10.6.1).
	maxReplies = 1024
	// readSize is how much is read from a host's program at once, in bytes:
	// eight of the buffers of a Linux driver.
	readSize = 32 << 10

	// connectTimeout is how long the guest may think about a connection
	// from the host; Linux gives a peer as long.
	connectTimeout = 2 * time.Second
	// closeTimeout is how long a stream that both sides have shut down waits
	// for the guest's RST; Linux waits as long.
	closeTimeout = 8 * time.Second
	// lingerTime is how long a reset of the device, or the end of the
	// machine, waits for the host's programs to take what the guest had sent.
	lingerTime = 100 * time.Millisecond

	queueSize = 256
)

// A Conn is a stream to a program on the host. Read and Write may be called at
// once, and the other methods at any time; a *net.UnixConn is one.
type Conn interface {
	io.ReadWriteCloser
	CloseRead() error  // ends a Read that waits
	CloseWrite() error // the other side reads an end
	SetWriteDeadline(time.Time) error
}

// A Dialer connects the guest to programs on the host.
type Dialer interface {
	// Dial connects to who takes the guest's connections to a port. An error
	// refuses the connection.
	Dial(ctx context.Context, port uint32) (Conn, error)
}

// A Device is a socket device.
type Device struct {
	cid  uint32
	dial Dialer

	mu      sync.Mutex
	session *session // guarded by mu; nil while there is no driver

	opened, refused, violated atomic.Uint64 // streams
	strange                   atomic.Uint64 // packets
}

// CheckCID returns what is wrong with cid as a guest's context ID, which must
// not be reserved (virtio-v1.2 §5.10.4, §5.10.6.4.2).
func CheckCID(cid uint32) error {
	if cid <= HostCID || cid == AnyCID {
		return fmt.Errorf("context ID %d is reserved; a guest's is from %d to %d", cid, HostCID+1, uint32(AnyCID-1))
	}
	return nil
}

// New returns a device for a guest with this context ID, whose connections to
// the host go where dial leads. Its error is that of CheckCID.
func New(cid uint32, dial Dialer) (*Device, error) {
	if err := CheckCID(cid); err != nil {
		return nil, err
	}
	return &Device{cid: cid, dial: dial}, nil
}

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDSocket }

// Features implements virtio.Device.
func (*Device) Features() virtio.Features { return featureStream }

// QueueSizes implements virtio.Device.
func (*Device) QueueSizes() []uint16 {
	sizes := make([]uint16, queueCount)
	sizes[rxQueue], sizes[txQueue], sizes[eventQueue] = queueSize, queueSize, 1
	return sizes
}

// AppendConfig implements virtio.Device: guest_cid, of 64 bits.
func (d *Device) AppendConfig(b []byte) []byte { return le.AppendUint64(b, uint64(d.cid)) }

// Describe implements virtio.Describer.
func (d *Device) Describe() []virtio.Property {
	return []virtio.Property{
		{Name: "context ID", Value: d.cid},
		{Name: "streams connected", Value: d.opened.Load()},
		{Name: "streams refused", Value: d.refused.Load()},
		{Name: "streams reset for a broken rule", Value: d.violated.Load()},
		{Name: "packets dropped that are from another context ID", Value: d.strange.Load()},
	}
}

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, vs *virtio.Session) error {
	s := newSession(ctx, d, vs.Queues[rxQueue], vs.Queues[txQueue])
	d.setSession(s)
	defer d.setSession(nil)
	return s.run()
}

func (d *Device) setSession(s *session) {
	d.mu.Lock()
	d.session = s
	d.mu.Unlock()
}

// ErrNoDriver is why a guest cannot be connected to that has no driver for the
// device, or none yet.
var ErrNoDriver = errors.New("the guest has no driver for its socket device")

// ErrTooMany is why there is no further stream.
var ErrTooMany = fmt.Errorf("there are %d streams, which is the most", MaxStreams)

// Connect connects conn to what listens on a port of the guest. When the guest
// has accepted, connected is called with the port of the host's end, before any
// of the guest's data goes to conn; it does not wait for anybody. If the guest
// refuses, conn is closed without it.
//
// Connect does not wait for the guest. Unless there is an error, conn is the
// device's from now on.
func (d *Device) Connect(port uint32, conn Conn, connected func(hostPort uint32) error) error {
	d.mu.Lock()
	s := d.session
	d.mu.Unlock()
	if s == nil {
		return ErrNoDriver
	}
	return s.connect(port, conn, connected)
}
