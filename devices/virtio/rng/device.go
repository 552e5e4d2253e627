// Package rng is the virtio entropy device (virtio-v1.2 §5.4): it fills the
// driver's buffers with the host's random numbers.
package rng

import (
	"context"

	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

const (
	// Rate bounds what a guest can make the host's generator work, in bytes
	// a second: at the 400 MB/s of getrandom(2) a quarter of a percent of a
	// processor. Linux seeds itself with 64 bytes and then asks for some a
	// minute.
	Rate = 1 << 20
	// chunk is what is generated at once, so that a buffer of gigabytes
	// neither runs ahead of Rate nor delays a reset.
	chunk = 4096

	queueSize = 64
)

// A Device is an entropy device. It has no features, and no configuration.
type Device struct {
	limit *rate.Limiter // of all sessions, so that a reset does not begin it anew
}

// New returns an entropy device.
func New() *Device { return &Device{rate.NewLimiter(Rate, chunk)} }

// ID implements virtio.Device.
func (*Device) ID() virtio.DeviceID { return virtio.IDEntropy }

// Features implements virtio.Device.
func (*Device) Features() virtio.Features { return 0 }

// QueueSizes implements virtio.Device: requestq (virtio-v1.2 §5.4.2).
func (*Device) QueueSizes() []uint16 { return []uint16{queueSize} }

// AppendConfig implements virtio.Device: there is none (virtio-v1.2 §5.4.4).
func (*Device) AppendConfig(b []byte) []byte { return b }

// Run implements virtio.Device.
func (d *Device) Run(ctx context.Context, s *virtio.Session) error {
	q := s.Queues[0]
	var c virtq.Chain
	for {
		if err := q.Next(ctx, &c); err != nil {
			return err
		}
		n, err := fill(ctx, &c, d.limit)
		if err != nil {
			return err
		}
		q.Push(&c, n)
		q.Publish()
	}
}

// fill writes random bytes to all of c, and returns how many.
func fill(ctx context.Context, c *virtq.Chain, limit *rate.Limiter) (n int, err error) {
	if c.Reader.Len() > 0 || c.Writer.Len() == 0 {
		// "The driver MUST NOT place device-readable buffers into the queue."
		return 0, &devices.GuestError{Rule: "virtio-v1.2 §5.4.6.1",
			Detail: "an entropy request that is not just room to write"}
	}
	var pieces [][]byte
	for c.Writer.Len() > 0 {
		pieces = c.Writer.Next(pieces[:0], chunk)
		for _, p := range pieces {
			if err := limit.WaitN(ctx, len(p)); err != nil {
				return 0, err
			}
			got, err := unix.Getrandom(p, 0) // up to 256 bytes it gives all, and a signal may cut it short beyond
			if err != nil {
				return 0, err
			}
			n += got
			if got < len(p) {
				return n, nil // at least one byte: all the driver may expect (virtio-v1.2 §5.4.6.2)
			}
		}
	}
	return n, nil
}
