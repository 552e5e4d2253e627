package balloon

import (
	"context"
	"fmt"
	"slices"

	"microvm/devices"
	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
	"microvm/kvm/guestmem"
)

// batch is how many pages of a request are looked at together, to be released
// in runs. Linux sends up to 256 in a request.
const batch = 1024

// A handler does what a request wants.
type handler func(context.Context, *guestmem.Memory, *virtq.Chain) error

// answer serves a queue whose requests are answered by giving them back.
func answer(ctx context.Context, s *virtio.Session, q *virtio.Queue, handle handler) error {
	var c virtq.Chain
	for {
		if err := q.Next(ctx, &c); err != nil {
			return err
		}
		if err := handle(ctx, s.Memory, &c); err != nil {
			return err
		}
		q.Push(&c, 0)
		q.Publish()
	}
}

func broken(rule, format string, args ...any) error {
	return &devices.GuestError{Rule: rule, Detail: fmt.Sprintf(format, args...)}
}

// inflate releases the pages of a request, which "the device MAY modify" until it
// gives the request back (virtio-v1.2 §5.5.6.2).
func (d *Device) inflate(ctx context.Context, m *guestmem.Memory, c *virtq.Chain) error {
	return eachRun(ctx, m, c, func(run []byte) error {
		d.released.Add(uint64(len(run)))
		return m.Release(run)
	})
}

// deflate has nothing to do but to look at the request: the host gives a page
// when the guest touches it.
func (d *Device) deflate(ctx context.Context, m *guestmem.Memory, c *virtq.Chain) error {
	return eachRun(ctx, m, c, func([]byte) error { return nil })
}

// eachRun calls do for the pages that a request names by their numbers
// (virtio-v1.2 §5.5.6), neighbours together. It stops when ctx is done: a
// request can name each page of the guest.
func eachRun(ctx context.Context, m *guestmem.Memory, c *virtq.Chain, do func(run []byte) error) error {
	n := uint64(c.Reader.Len())
	switch {
	case c.Writer.Len() > 0:
		return broken("virtio-v1.2 §5.5.6", "a list of pages with room to write")
	case n%pfnSize != 0:
		return broken("virtio-v1.2 §5.5.6", "a list of pages of %d bytes is no array of 32-bit numbers", n)
	case n/pfnSize > m.Size()/PageSize:
		return broken("virtio-v1.2 §5.5.6", "a list of %d pages in a guest of %d", n/pfnSize, m.Size()/PageSize)
	}
	var raw [batch * pfnSize]byte
	var pfns [batch]uint32
	for c.Reader.Len() > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := c.Reader.Read(raw[:])
		if err != nil {
			return err
		}
		list := pfns[:n/pfnSize]
		for i := range list {
			list[i] = le.Uint32(raw[i*pfnSize:])
		}
		if err := runs(m, list, do); err != nil {
			return err
		}
	}
	return nil
}

// runs calls do for the pages of pfns, which it sorts: Linux takes pages from its
// allocator highest first.
func runs(m *guestmem.Memory, pfns []uint32, do func(run []byte) error) error {
	slices.Sort(pfns)
	for len(pfns) > 0 {
		first, pages, named := pfns[0], uint32(1), 1
		for named < len(pfns) && pfns[named]-first <= pages { // the next one, or one that is named twice
			pages = pfns[named] - first + 1
			named++
		}
		pfns = pfns[named:]
		run, err := m.Slice(pageAt(first), uint64(pages)*PageSize)
		if err != nil {
			return &devices.GuestError{Rule: "virtio-v1.2 §5.5.6", Detail: "a page that is not memory", Err: err}
		}
		if err := do(run); err != nil {
			return err
		}
	}
	return nil
}

// report releases ranges that are free: the driver uses them again, as it finds
// them, when it has the request back (virtio-v1.2 §5.5.6.7).
func (d *Device) report(_ context.Context, m *guestmem.Memory, c *virtq.Chain) error {
	if c.Reader.Len() > 0 {
		return broken("virtio-v1.2 §5.5.6.7", "a report of free pages that are not to be written")
	}
	for _, free := range c.Writer.Next(nil, c.Writer.Len()) {
		d.reported.Add(uint64(len(free)))
		if err := m.Release(free); err != nil {
			return err
		}
	}
	return nil
}
