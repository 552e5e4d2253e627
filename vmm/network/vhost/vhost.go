// Package vhost serves a network device's queues in the host's kernel, which
// carries frames between them and a tap interface without this process (linux
// vhost.h, drivers/vhost/net.c). The driver's notifications go to it and its
// interrupts to the driver by eventfds that KVM knows.
//
// What is saved is the way through this process for each batch of frames. What is
// lost is that nobody here sees them: no counts, no traces, no capture.
package vhost

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microvm/devices"
	"microvm/devices/eventfd"
	"microvm/devices/virtio"
	"microvm/devices/virtio/net"
	"microvm/kvm/guestmem"
	"microvm/vmm/network/tap"
)

// device is what the kernel's part is opened by.
const device = "/dev/vhost-net"

// features are those that the kernel's part must know, whichever of them the
// driver accepts; the others of a network device are the tap's.
const features = virtio.FeatureIndirectDesc | virtio.FeatureEventIdx | virtio.FeatureVersion1 | net.FeatureMrgRxbuf

// A Backend is a tap interface whose frames the kernel carries, a net.Server.
type Backend struct {
	*tap.Tap
	pairs []int // a file of the device for each pair of queues

	mu      sync.Mutex
	down    bool // the link; guarded by mu, as below
	serving int  // pairs whose rings are set up
}

// New returns the backend for t, which it closes with itself. If there is an error
// t is as it was.
func New(t *tap.Tap) (_ *Backend, err error) {
	b := &Backend{Tap: t}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.closePairs())
		}
	}()
	for range t.Pairs() {
		fd, err := unix.Open(device, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, &os.PathError{Op: "open", Path: device, Err: err}
		}
		b.pairs = append(b.pairs, fd)
		if err := own(fd); err != nil {
			return nil, fmt.Errorf("%s: %w", device, err)
		}
	}
	return b, nil
}

// own makes this process's memory that of the device file fd, which must know all
// features.
func own(fd int) error {
	if err := ioctl[struct{}](fd, reqSetOwner, nil); err != nil {
		return err
	}
	var known virtio.Features
	if err := ioctl(fd, reqGetFeatures, &known); err != nil {
		return err
	}
	if missing := features &^ known; missing != 0 {
		return fmt.Errorf("the kernel does not know the features %v", missing)
	}
	return nil
}

// Describe implements virtio.Describer.
func (b *Backend) Describe() []virtio.Property {
	return append(b.Tap.Describe(), virtio.Property{Name: "vhost", Value: "on; frames that the kernel carries are not counted"})
}

// Close implements net.Backend.
func (b *Backend) Close() error { return errors.Join(b.closePairs(), b.Tap.Close()) }

func (b *Backend) closePairs() error {
	var errs []error
	for _, fd := range b.pairs {
		errs = append(errs, unix.Close(fd))
	}
	b.pairs = nil
	return errors.Join(errs...)
}

// Serves implements net.Server: the kernel knows no packed rings.
func (*Backend) Serves(f virtio.Features) bool { return f&virtio.FeatureRingPacked == 0 }

// Serve implements net.Server.
func (b *Backend) Serve(ctx context.Context, s *virtio.Session, pairs int) (err error) {
	ended, err := eventfd.New() // because ctx is done, or a ring is broken
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ended.Close()) }()
	signalled := make(chan error, 1)
	stop := context.AfterFunc(ctx, func() { signalled <- ended.Signal() })

	err = b.begin(s, pairs, ended)
	if err == nil {
		err = ended.Wait()
	}
	if !stop() {
		err = errors.Join(err, <-signalled)
	}
	if err := errors.Join(err, b.end()); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return &devices.GuestError{Rule: "virtio-v1.2 §2.7", Detail: "the host's kernel found a queue broken"}
}

// begin gives the rings to the kernel.
func (b *Backend) begin(s *virtio.Session, pairs int, broken eventfd.FD) error {
	table, err := memTable(s.Memory)
	if err != nil {
		return err
	}
	accepted := s.Features & features
	irq := s.KernelInterrupts()
	b.mu.Lock()
	defer b.mu.Unlock()
	for pair := range pairs {
		rx, tx := s.Queues[2*pair], s.Queues[2*pair+1]
		if rx.Size() == 0 || tx.Size() == 0 {
			break // a driver that uses a pair uses those before it
		}
		fd := b.pairs[pair]
		b.serving = pair + 1
		err := errors.Join(
			ioctl(fd, reqSetFeatures, &accepted),
			ioctl(fd, reqSetMemTable, table),
			setRing(fd, ringReceive, rx, s.Memory, irq, broken),
			setRing(fd, ringTransmit, tx, s.Memory, irq, broken),
		)
		if err == nil && !b.down {
			err = b.connect(pair, true)
		}
		if err != nil {
			return fmt.Errorf("vhost: %w", err)
		}
	}
	return nil
}

// memTable says where guest memory is in this process.
func memTable(m *guestmem.Memory) (*memory, error) {
	var t memory
	for i, r := range m.Ranges() {
		host, err := m.HostAddr(r)
		if err != nil {
			return nil, err
		}
		t.Regions[i] = region{GuestPhysAddr: uint64(r.Start), MemorySize: r.Size, UserspaceAddr: uint64(host)}
		t.NRegions++
	}
	return &t, nil
}

// setRing tells the kernel of one ring, all of it but the backend.
func setRing(fd int, ring uint32, q *virtio.Queue, m *guestmem.Memory, irq int, broken eventfd.FD) error {
	c := q.Config()
	addr := vringAddr{Index: ring}
	for _, part := range []struct {
		of guestmem.Addr
		to *uint64
	}{{c.Desc, &addr.Desc}, {c.Driver, &addr.Avail}, {c.Device, &addr.Used}} {
		host, err := m.HostAddr(guestmem.Range{Start: part.of, Size: 1})
		if err != nil {
			return err
		}
		*part.to = uint64(host)
	}
	return errors.Join(
		ioctl(fd, reqSetVringNum, &vringState{Index: ring, Num: uint32(c.Size)}),
		ioctl(fd, reqSetVringBase, &vringState{Index: ring}),
		ioctl(fd, reqSetVringAddr, &addr),
		ioctl(fd, reqSetVringErr, &vringFile{Index: ring, FD: int32(broken.Int())}),
		ioctl(fd, reqSetVringCall, &vringFile{Index: ring, FD: int32(irq)}),
		ioctl(fd, reqSetVringKick, &vringFile{Index: ring, FD: int32(q.Doorbell())}),
	)
}

// connect starts or stops carrying the frames of a pair. When it has stopped, the
// kernel does not touch the rings any more.
func (b *Backend) connect(pair int, on bool) error {
	tap := noFile
	if on {
		tap = b.FD(pair)
	}
	return errors.Join(
		ioctl(b.pairs[pair], reqNetSetBackend, &vringFile{Index: ringReceive, FD: int32(tap)}),
		ioctl(b.pairs[pair], reqNetSetBackend, &vringFile{Index: ringTransmit, FD: int32(tap)}),
	)
}

// end takes the rings back.
func (b *Backend) end() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	for pair := range b.serving {
		errs = append(errs, b.connect(pair, false))
		for _, ring := range []uint32{ringReceive, ringTransmit} {
			none := &vringFile{Index: ring, FD: noFile}
			errs = append(errs, ioctl(b.pairs[pair], reqSetVringKick, none), ioctl(b.pairs[pair], reqSetVringCall, none),
				ioctl(b.pairs[pair], reqSetVringErr, none))
		}
	}
	b.serving = 0
	return errors.Join(errs...)
}

// SetLink implements net.Server.
func (b *Backend) SetLink(up bool) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = !up
	var errs []error
	for pair := range b.serving {
		errs = append(errs, b.connect(pair, up))
	}
	return errors.Join(errs...)
}
