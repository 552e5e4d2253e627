package virtio_test

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// An echo is a device type for tests. On queue 0 it gives back each chain with
// what the driver says as its answer; queue 1 is there to be set up. Its feature
// bit 1 needs bit 0.
type echo struct {
	config  atomic.Pointer[[]byte]
	running atomic.Int32 // calls of Run that have not returned
	fail    error        // what Run returns at once, if it is not nil
	session chan *virtio.Session
	changed func()
}

const (
	featureA virtio.Features = 1 << 0
	featureB virtio.Features = 1 << 1
)

func newEcho() *echo {
	e := &echo{session: make(chan *virtio.Session, 1000)}
	e.setConfig("config")
	return e
}

func (e *echo) setConfig(s string) {
	b := []byte(s)
	e.config.Store(&b)
}

func (e *echo) ID() virtio.DeviceID          { return 42 }
func (e *echo) Features() virtio.Features    { return featureA | featureB }
func (e *echo) QueueSizes() []uint16         { return []uint16{8, 4} }
func (e *echo) AppendConfig(b []byte) []byte { return append(b, *e.config.Load()...) }

func (e *echo) OnConfigChange(f func()) { e.changed = f }

func (e *echo) WriteConfig(off int, p []byte) {
	b := bytes.Clone(*e.config.Load())
	copy(b[off:], p)
	e.setConfig(string(b))
}

func (e *echo) CheckFeatures(f virtio.Features) error {
	if f&featureB != 0 && f&featureA == 0 {
		return errors.New("bit 1 needs bit 0")
	}
	return nil
}

func (e *echo) Run(ctx context.Context, s *virtio.Session) error {
	e.running.Add(1)
	defer e.running.Add(-1)
	e.session <- s
	if e.fail != nil {
		return e.fail
	}
	var c virtq.Chain
	for {
		if err := s.Queues[0].Next(ctx, &c); err != nil {
			return err
		}
		p := make([]byte, c.Reader.Len())
		c.Reader.Read(p)
		n, _ := c.Writer.Write(p)
		s.Queues[0].Push(&c, n)
		s.Queues[0].Publish()
	}
}
