// Package tap is the backend of a network device that is a tap interface of the
// host's kernel: what the guest sends arrives there, and what the host sends to
// the interface goes to the guest (linux Documentation/networking/tuntap.rst).
//
// Each frame is one system call, straight from or to the guest's memory, with
// the virtio header that the kernel speaks as well: checksums and segmentation
// stay undone between guest and host unless a frame leaves the host.
package tap

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"microvm/devices/eventfd"
	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
)

// MaxPairs bounds the pairs of queues: each costs two threads while it is used.
const MaxPairs = 16

// A Tap is an open tap interface, a net.Backend.
type Tap struct {
	name    string
	queues  []*queue
	enabled int           // queues that the kernel gives frames to
	lost    atomic.Uint64 // frames that the kernel did not take
}

// A queue is one of the interface's queues, each a file.
type queue struct {
	fd     int
	cancel eventfd.FD      // wakes wait
	ctx    context.Context // the one that cancel watches
	forget func() bool     // makes it watch no longer, or reports that it is too late
	woken  chan struct{}   // closed when cancel is signalled
	poll   [2]unix.PollFd  // fd, cancel
	out    []unix.Iovec    // scratch of Send
	in     []unix.Iovec    // scratch of Receive
}

// Name is the name of the interface.
func (t *Tap) Name() string { return t.name }

// FD is the file descriptor of a pair's queue, good until Close.
func (t *Tap) FD(pair int) int { return t.queues[pair].fd }

// Describe implements virtio.Describer.
func (t *Tap) Describe() []virtio.Property {
	return []virtio.Property{
		{Name: "tap", Value: t.name},
		{Name: "pairs of queues", Value: len(t.queues)},
		{Name: "frames that the tap did not take", Value: t.lost.Load()},
	}
}

// Pairs implements net.Backend.
func (t *Tap) Pairs() int { return len(t.queues) }

// Offloads implements net.Backend: the kernel does all, in either direction.
func (t *Tap) Offloads() net.Offloads {
	return net.Offloads{Checksum: true, TSO4: true, TSO6: true, ECN: true}
}

// What received frames may leave to the guest (linux if_tun.h).
const (
	offloadChecksum = 1 << 0 // TUN_F_CSUM
	offloadTSO4     = 1 << 1 // TUN_F_TSO4
	offloadTSO6     = 1 << 2 // TUN_F_TSO6
	offloadECN      = 1 << 3 // TUN_F_TSO_ECN
)

// SetOffloads implements net.Backend.
func (t *Tap) SetOffloads(accepted net.Offloads) error {
	flags := 0
	for _, o := range []struct {
		on   bool
		flag int
	}{
		{accepted.Checksum, offloadChecksum}, {accepted.TSO4, offloadTSO4},
		{accepted.TSO6, offloadTSO6}, {accepted.ECN, offloadECN},
	} {
		if o.on {
			flags |= o.flag
		}
	}
	if err := unix.IoctlSetInt(t.queues[0].fd, unix.TUNSETOFFLOAD, flags); err != nil {
		return fmt.Errorf("tap %s: TUNSETOFFLOAD: %w", t.name, err)
	}
	return nil
}

// SetPairs implements net.Backend: the kernel takes frames from all queues, and
// spreads those for the guest over the attached ones.
func (t *Tap) SetPairs(n int) error {
	for ; t.enabled < n; t.enabled++ {
		if err := t.setQueue(t.enabled, unix.IFF_ATTACH_QUEUE); err != nil {
			return err
		}
	}
	for ; t.enabled > n; t.enabled-- {
		if err := t.setQueue(t.enabled-1, unix.IFF_DETACH_QUEUE); err != nil {
			return err
		}
	}
	return nil
}

func (t *Tap) setQueue(i int, flag uint16) error {
	r, err := unix.NewIfreq(t.name)
	if err != nil {
		return err
	}
	r.SetUint16(flag)
	if err := unix.IoctlIfreq(t.queues[i].fd, unix.TUNSETQUEUE, r); err != nil {
		return fmt.Errorf("tap %s: TUNSETQUEUE %d: %w", t.name, i, err)
	}
	return nil
}

// Send implements net.Backend.
func (t *Tap) Send(pair int, frame [][]byte) error {
	q := t.queues[pair]
	q.out = appendIovecs(q.out[:0], frame)
	switch _, err := writev(q.fd, q.out); err {
	case nil:
		return nil
	case unix.EIO, unix.EAGAIN, unix.ENOBUFS, unix.ENOMEM, unix.EINVAL:
		// The interface is down or full, or the frame is none that the
		// kernel would forward: it goes the way of a frame on a cable that
		// leads nowhere.
		t.lost.Add(1)
		return nil
	default:
		return t.gone("write", err)
	}
}

// Answers implements net.Backend: it is the kernel that answers, at another time.
func (t *Tap) Answers(int) bool { return false }

// Wake implements net.Backend. Nothing calls it.
func (t *Tap) Wake(int) {}

// Receive implements net.Backend.
func (t *Tap) Receive(pair int, into [][]byte) (n int, err error) {
	q := t.queues[pair]
	q.in = appendIovecs(q.in[:0], into)
	n, err = readv(q.fd, q.in)
	switch err {
	case nil:
		return n, nil
	case unix.EAGAIN:
		return 0, nil
	default:
		return 0, t.gone("read", err)
	}
}

// gone is the error of a system call, in words if the interface was deleted.
func (t *Tap) gone(op string, err error) error {
	if errors.Is(err, unix.EBADFD) {
		return fmt.Errorf("tap %s was deleted while the guest used it", t.name)
	}
	return fmt.Errorf("tap %s: %s: %w", t.name, op, err)
}

// Wait implements net.Backend.
func (t *Tap) Wait(ctx context.Context, pair int) error {
	q := t.queues[pair]
	q.watch(ctx)
	for {
		_, err := unix.Poll(q.poll[:], -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("tap %s: poll: %w", t.name, err)
		}
		if q.poll[1].Revents != 0 {
			// It may be of an earlier context.
			if err := errors.Join(q.cancel.Wait(), ctx.Err()); err != nil {
				return err
			}
		}
		return nil
	}
}

// watch makes the end of ctx wake Wait. A device waits with the same context
// many times, so it is asked once.
func (q *queue) watch(ctx context.Context) {
	if q.ctx == ctx {
		return
	}
	q.unwatch()
	woken := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		_ = q.cancel.Signal() // an eventfd that is open takes it
		close(woken)
	})
	q.ctx, q.forget, q.woken = ctx, forget, woken
}

// unwatch ends that.
func (q *queue) unwatch() {
	if q.ctx != nil && !q.forget() {
		<-q.woken
	}
}

// Close implements net.Backend. An interface that was made by Open goes away with it.
func (t *Tap) Close() error {
	var errs []error
	for _, q := range t.queues {
		errs = append(errs, q.close())
	}
	t.queues = nil
	return errors.Join(errs...)
}

func (q *queue) close() error {
	q.unwatch()
	return errors.Join(unix.Close(q.fd), q.cancel.Close())
}

// appendIovecs appends pieces, none of which is empty.
func appendIovecs(dst []unix.Iovec, pieces [][]byte) []unix.Iovec {
	for _, p := range pieces {
		v := unix.Iovec{Base: &p[0]}
		v.SetLen(len(p))
		dst = append(dst, v)
	}
	return dst
}
