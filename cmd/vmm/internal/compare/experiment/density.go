package experiment

import (
	"context"
	"errors"
	"fmt"

	"microvm/cmd/vmm/internal/compare"
)

// Density starts instances until there can be no more, and measures each start.
// It stops before the host runs out of anything.
var Density = &Experiment{
	Name:  "density",
	About: "start time and memory against the number of instances, until a limit, and which it was",
	Run:   measureDensity,
}

// The metrics of density.
const (
	// DensityTime is the time from spawn to the payload of the last of so many
	// instances, with all others waiting.
	DensityTime = "time"
	// DensityMemory is by how much less memory the host calls available than
	// without instances, in bytes, as [MemoryHost].
	DensityMemory = "host"
	// DensityStop is how many instances there were, and as a text why no more.
	DensityStop = "stop"
)

func measureDensity(ctx context.Context, s *Session) error {
	return s.herds(ctx, DensityStop, 0, func(a PreparedArm, round int) error {
		h := &herd{Session: s, arm: a, round: round}
		stop, err := h.grow(ctx)
		sample := compare.Sample{Arm: a.Name(), Metric: DensityStop, Unit: compare.Count, Value: float64(len(h.all)), Text: stop, Round: round}
		if err := errors.Join(err, h.dismiss(ctx)); err != nil {
			return s.Failed(ctx, sample, err)
		}
		return s.Record(sample)
	})
}

// grow adds instances until there can be no more, and says why.
func (h *herd) grow(ctx context.Context) (stop string, err error) {
	before, err := readRoom()
	if err != nil {
		return "", err
	}
	for len(h.all) < h.Effort.Instances {
		if err := h.mayAdd(before); err != nil {
			return err.Error(), nil
		}
		took, err := h.add(ctx)
		if err != nil && len(h.all) > 0 && ctx.Err() == nil {
			return fmt.Sprintf("instance %d failed: %v", len(h.all)+1, err), nil
		} else if err != nil {
			return "", err
		}
		now, err := readRoom()
		if err != nil {
			return "", err
		}
		n := len(h.all)
		if h.Done(h.arm.Name(), DensityTime, n) > h.round { // by the run that this one goes on with
			continue
		}
		err = errors.Join(
			h.Record(compare.Sample{Arm: h.arm.Name(), Metric: DensityTime, Unit: compare.Seconds, Value: took.Seconds(),
				From: compare.Spawn, To: compare.Payload, Instances: n, Round: h.round}),
			h.Record(compare.Sample{Arm: h.arm.Name(), Metric: DensityMemory, Unit: compare.Bytes,
				Value: float64(before.memory) - float64(now.memory), Instances: n, Round: h.round}))
		if err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("the limit of %d instances that was asked for", h.Effort.Instances), nil
}
