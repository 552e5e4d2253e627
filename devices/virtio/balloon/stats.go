package balloon

import (
	"context"
	"time"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// maxStats bounds the entries that are looked at in a buffer of statistics.
// virtio-v1.2 has 10; Linux 6.12 sends 16.
const maxStats = 64

// statistics are what the driver has told last. They come only when they are
// asked for: the device gives back the buffer that it keeps, and the driver fills
// it anew (virtio-v1.2 §5.5.6.3).
type statistics struct {
	queue   *virtio.Queue // nil unless a driver serves it
	wanted  bool          // somebody waits for new ones
	arrived chan struct{} // closed when there are, or there will be none
	at      time.Time     // when the last ones came, zero for never
	entries []virtio.Property
}

// wake wakes who waits for new statistics.
func (s *statistics) wake() {
	s.wanted = false
	if s.arrived != nil {
		close(s.arrived)
	}
	s.arrived = make(chan struct{})
}

// describe returns the statistics and how old they are, nothing if there are
// none.
func (s *statistics) describe() []virtio.Property {
	if s.at.IsZero() {
		return nil
	}
	age := time.Since(s.at).Round(time.Millisecond).String()
	return append([]virtio.Property{{Name: "guest: told so long ago", Value: age}}, s.entries...)
}

// RefreshStats asks the driver for new statistics, and returns when they are
// there, when ctx is done, or when there is no driver that would send any.
func (d *Device) RefreshStats(ctx context.Context) error {
	d.mu.Lock()
	if d.stats.queue == nil {
		d.mu.Unlock()
		return nil
	}
	d.stats.wanted = true
	arrived := d.stats.arrived
	err := d.stats.queue.Ring()
	d.mu.Unlock()
	if err != nil {
		return err
	}
	select {
	case <-arrived:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// serveStats serves statsq: it keeps the driver's buffer until new statistics
// are wanted.
func (d *Device) serveStats(ctx context.Context, q *virtio.Queue) error {
	var c, second virtq.Chain
	for {
		if err := q.Next(ctx, &c); err != nil {
			return err
		}
		if err := d.store(&c); err != nil {
			return err
		}
		for !d.statsWanted() {
			switch ok, err := q.Pop(&second); {
			case err != nil:
				return err
			case ok:
				return broken("virtio-v1.2 §5.5.6.3.1", "a second buffer of statistics")
			}
			if err := q.Wait(ctx); err != nil {
				return err
			}
		}
		q.Push(&c, 0)
		q.Publish()
	}
}

func (d *Device) statsWanted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats.wanted
}

// store keeps the statistics of c.
func (d *Device) store(c *virtq.Chain) error {
	if c.Writer.Len() > 0 {
		return broken("virtio-v1.2 §5.5.6.3.1", "a buffer of statistics that is not to be read only")
	}
	entries := readStats(&c.Reader)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stats.entries, d.stats.at = entries, time.Now()
	d.stats.wake()
	return nil
}

// readStats returns the statistics in the driver's order, without those "with
// tag values that it does not recognize" (virtio-v1.2 §5.5.6.3.2). What is left
// at the end is not an entry: no rule says that there is nothing, and one that
// asks for "a multiple of 6 bytes" is kept by no driver.
func readStats(r *virtq.Reader) (entries []virtio.Property) {
	for range min(r.Len()/statSize, maxStats) {
		var e [statSize]byte
		r.Read(e[:]) // there are that many bytes
		if tag := int(le.Uint16(e[:])); tag < len(statNames) {
			entries = append(entries, virtio.Property{Name: statNames[tag], Value: le.Uint64(e[statVal:])})
		}
	}
	return entries
}
