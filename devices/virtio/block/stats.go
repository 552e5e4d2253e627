package block

import (
	"sync/atomic"

	"microvm/devices/virtio"
)

// counts are the requests that were answered, in the kinds of operations.
type counts struct {
	reads, writes, flushes, discards, zeroes, others atomic.Uint64

	failed            atomic.Uint64         // with a status other than OK
	lastError         atomic.Pointer[error] // of the image, which the driver sees only as S_IOERR
	bytesIn, bytesOut atomic.Uint64         // read and written with success
}

func (c *counts) add(r *request, s status) {
	switch r.kind {
	case typeIn:
		c.reads.Add(1)
	case typeOut:
		c.writes.Add(1)
	case typeFlush:
		c.flushes.Add(1)
	case typeDiscard:
		c.discards.Add(1)
	case typeWriteZeroes:
		c.zeroes.Add(1)
	default:
		c.others.Add(1)
	}
	if s == statusIOErr && r.op.Err != nil {
		err := r.op.Err // the request's own is cleared for the next
		c.lastError.Store(&err)
	}
	switch {
	case s != statusOK:
		c.failed.Add(1)
	case r.kind == typeIn:
		c.bytesIn.Add(uint64(r.op.Len))
	case r.kind == typeOut:
		c.bytesOut.Add(uint64(r.op.Len))
	}
}

// Describe implements virtio.Describer.
func (d *Device) Describe() []virtio.Property {
	c := &d.counts
	properties := append(d.image.Describe(),
		virtio.Property{Name: "reads", Value: c.reads.Load()},
		virtio.Property{Name: "bytes read", Value: c.bytesIn.Load()},
		virtio.Property{Name: "writes", Value: c.writes.Load()},
		virtio.Property{Name: "bytes written", Value: c.bytesOut.Load()},
		virtio.Property{Name: "flushes", Value: c.flushes.Load()},
		virtio.Property{Name: "discards", Value: c.discards.Load()},
		virtio.Property{Name: "zeroes written", Value: c.zeroes.Load()},
		virtio.Property{Name: "other requests", Value: c.others.Load()},
		virtio.Property{Name: "failed requests", Value: c.failed.Load()},
	)
	if err := c.lastError.Load(); err != nil {
		properties = append(properties, virtio.Property{Name: "last error", Value: (*err).Error()})
	}
	return properties
}
