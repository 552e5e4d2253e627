package experiment

import (
	"context"
	"errors"
	"fmt"
	"time"

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
	// instances, with all others waiting; of arms that show that.
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
		if err := h.recordDensity(took, float64(before.memory)-float64(now.memory)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("the limit of %d instances that was asked for", h.Effort.Instances), nil
}

// recordDensity records how long the last start took and what memory all take.
func (h *herd) recordDensity(took time.Duration, memory float64) error {
	sample := compare.Sample{Arm: h.arm.Name(), Metric: DensityMemory, Unit: compare.Bytes, Value: memory, Instances: len(h.all), Round: h.round}
	if h.Done(sample.Arm, sample.Metric, sample.Instances) > h.round { // by the run that this one goes on with
		return nil
	}
	if h.showsPayload() {
		start := sample
		start.Metric, start.Unit, start.Value = DensityTime, compare.Seconds, took.Seconds()
		start.From, start.To = compare.Spawn, compare.Payload
		if err := h.Record(start); err != nil {
			return err
		}
	}
	return h.Record(sample)
}
