package net

import (
	"context"

	"microvm/devices/virtio"
	"microvm/devices/virtio/virtq"
)

// A controller carries out the commands of the control queue (virtio-v1.2
// §5.1.6.5).
type controller struct {
	device  *Device
	session *virtio.Session
	queue   *virtio.Queue
	pairs   int
	terms   *terms
}

func (c *controller) run(ctx context.Context) error {
	var chain virtq.Chain
	for {
		if err := c.queue.Next(ctx, &chain); err != nil {
			return err
		}
		if chain.Reader.Len() < ctrlHeader || chain.Writer.Len() == 0 {
			return broken("virtio-v1.2 §5.1.6.5", "a command of %d bytes with room for an answer of %d",
				chain.Reader.Len(), chain.Writer.Len())
		}
		ack, err := c.do(&chain.Reader)
		if err != nil {
			return err
		}
		if _, err := chain.Writer.Write([]byte{ack}); err != nil {
			return err
		}
		c.queue.Push(&chain, 1)
		c.queue.Publish()
	}
}

// do carries out one command and returns the answer. The error is the host's.
func (c *controller) do(r *virtq.Reader) (ack byte, err error) {
	var command [ctrlHeader + maxCtrlData]byte
	n := r.Len()
	if n > len(command) {
		return ackErr, nil // none that the device knows
	}
	if _, err := r.Read(command[:]); err != nil {
		return ackErr, err
	}
	class, number, data := command[0], command[1], command[ctrlHeader:n]
	switch {
	case class == classMQ && number == mqPairsSet && len(data) == 2:
		return c.setPairs(int(le.Uint16(data)))
	case class == classOffloads && number == offloadsSet && len(data) == 8:
		return c.setOffloads(virtio.Features(le.Uint64(data)))
	}
	return ackErr, nil
}

// setPairs is VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET (virtio-v1.2 §5.1.6.5.6).
func (c *controller) setPairs(n int) (byte, error) {
	if !c.session.Has(FeatureMQ) || n < 1 || n > c.pairs {
		return ackErr, nil
	}
	c.terms.pairs.Store(int32(n))
	return ackOK, c.device.backend.SetPairs(n)
}

// setOffloads is VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET (virtio-v1.2 §5.1.6.5.8).
func (c *controller) setOffloads(f virtio.Features) (byte, error) {
	_, guest := offloads(f)
	if !c.session.Has(FeatureCtrlGuestOffloads|f) || f&^guestOffloads != 0 || c.device.CheckFeatures(f|FeatureCtrlVQ) != nil {
		return ackErr, nil
	}
	if err := c.device.backend.SetOffloads(guest); err != nil {
		return ackErr, err
	}
	c.terms.accepted.Store(&guest)
	return ackOK, nil
}

// guestOffloads are the features that a driver may change its mind about.
const guestOffloads = FeatureGuestCsum | FeatureGuestTSO4 | FeatureGuestTSO6 | FeatureGuestECN
