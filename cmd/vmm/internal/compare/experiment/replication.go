package experiment

import (
	"context"
	"errors"
	"fmt"

	"microvm/cmd/vmm/internal/compare"
)

// Replication finds out how much of several instances' memory is the same: kept
// once by the host's kernel, or once for each.
var Replication = &Experiment{
	Name:  "replication",
	About: "memory of several instances with the same contents, kept once or more often",
	Run:   replication,
}

// The metrics of Replication, in bytes, of several instances while their payloads wait.
// All count pages of 4 KiB that the instances' processes map, guests' RAM included.
const (
	ReplicationMapped = "mapped" // as each instance sees it: its pages, added
	ReplicationFrames = "frames" // of the host's memory, in truth
	ReplicationShared = "shared" // of the frames: mapped by more than one instance
	ReplicationZero   = "zero"   // of the frames: with nothing but zeros
	// ReplicationEqual is, of the frames, those of one instance whose contents
	// another instance has in a frame of its own, or shares: what a kernel that looks for equal
	// pages (ksm) could save nearly all of. Zeros are not in it.
	ReplicationEqual = "equal"
	// ReplicationRoot is, of the frames, those with the contents of a page of a
	// file of the root directory, and ReplicationRootOnce how many bytes of such pages
	// are different: their ratio is how many copies there are of what the payload is
	// made of. A copy that does not begin at a page's begin is not seen, such as in an
	// initramfs, and none that is in the page cache alone.
	ReplicationRoot     = "root"
	ReplicationRootOnce = "root-once"
)

// replicationInstances is how many are compared. More of them show nothing new, and take
// longer.
const replicationInstances = 2

func replication(ctx context.Context, s *Session) error {
	for i, a := range s.Arms {
		s.Progress(i, len(s.Arms))
		if s.Done(a.Name(), ReplicationFrames, replicationInstances) > 0 {
			continue
		}
		if err := s.replicationOf(ctx, a, replicationInstances); err != nil {
			return err
		}
	}
	return nil
}

// replicationOf measures n instances of an arm.
func (s *Session) replicationOf(ctx context.Context, a PreparedArm, n int) error {
	h := &herd{Session: s, arm: a}
	counts, err := h.takeCensus(ctx, n)
	err = errors.Join(err, h.dismiss(ctx))
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: ReplicationFrames, Unit: compare.Bytes, Instances: n}, err)
	}
	for _, m := range []struct {
		metric string
		pages  int
	}{
		{ReplicationMapped, counts.mapped}, {ReplicationShared, counts.shared}, {ReplicationZero, counts.zero},
		{ReplicationEqual, counts.equal}, {ReplicationRoot, counts.known}, {ReplicationRootOnce, counts.knownOnce},
		{ReplicationFrames, counts.frames},
	} {
		sample := compare.Sample{Arm: a.Name(), Metric: m.metric, Unit: compare.Bytes, Value: float64(m.pages) * pageSize, Instances: n}
		if err := s.Record(sample); err != nil {
			return err
		}
	}
	return nil
}

// takeCensus starts n instances and counts their pages.
func (h *herd) takeCensus(ctx context.Context, n int) (pageCounts, error) {
	before, err := readRoom()
	if err != nil {
		return pageCounts{}, err
	}
	for len(h.all) < n {
		if err := h.mayAdd(before); err != nil {
			return pageCounts{}, fmt.Errorf("no more than %d instances: %w", len(h.all), err)
		}
		if _, err := h.add(ctx); err != nil {
			return pageCounts{}, err
		}
	}
	if err := sleep(ctx, settleTime); err != nil {
		return pageCounts{}, err
	}
	c := newPageCensus()
	for owner, i := range h.all {
		if err := c.addInstance(owner, i.Processes()); err != nil {
			return pageCounts{}, err
		}
	}
	known := make(map[uint64]bool)
	if err := c.hashFiles(h.Root, known); err != nil {
		return pageCounts{}, err
	}
	return c.count(known), nil
}
