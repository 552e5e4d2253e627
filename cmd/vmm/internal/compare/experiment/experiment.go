// Package experiment has what a comparison measures, a file each. An experiment
// runs payloads in all arms and records samples; what they mean is the business
// of package report.
//
// An arm that fails, hangs or answers nonsense is a failed sample and no reason
// to stop. An experiment returns an error if nothing can be measured any more: its
// context has ended, or samples cannot be kept.
package experiment

import (
	"context"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
)

// An Experiment settles one of the things that are said.
type Experiment struct {
	Name  string // one word, such as "start"; samples bear it
	About string // what it measures, one line
	Run   func(ctx context.Context, s *Session) error
}

// All are the experiments in the order in which they run.
var All = []*Experiment{Start, Memory, Density, Disk, Request, Work, Kernel, Isolation, Replication}

// A Session is what an experiment works with.
type Session struct {
	Arms   []PreparedArm
	Env    *arm.Env
	Root   string // the root directory that every arm was given
	Dir    string // for files of the experiment's, which are removed at the end of the run
	Effort Effort
	// Distribution is a disk image or a directory with a distribution's user
	// space, "" for that of this host.
	Distribution string
	// Start is the payload that marks its begin and end and does nothing that
	// takes long between: ours, or the user's command.
	Start []string
	// DropCaches allows to empty the page cache of the whole host.
	DropCaches bool
	Began      time.Time // when the experiment did
	// Seed decides what is random, such as the order of arms.
	Seed uint64

	// Record keeps a sample, of which the experiment, the host and the time are
	// filled in.
	Record func(compare.Sample) error
	// Recorded returns the experiment's samples until now, with those that a run
	// has left which was interrupted and now goes on.
	Recorded func() []compare.Sample
	// Progress says how far the experiment is, of total steps.
	Progress func(step, total int)
}

// A PreparedArm is an arm that is usable here, ready to start.
type PreparedArm struct {
	arm.Arm
	arm.Prepared
}

// An Effort is how much is measured.
type Effort struct {
	Name      string        `json:"name"`      // quick, normal or full
	Rounds    int           `json:"rounds"`    // of each measurement, at most
	Precision float64       `json:"precision"` // half the relative width of the interval that is enough
	Instances int           `json:"instances"` // at once, at most
	Patience  time.Duration `json:"patience"`  // for one instance, in nanoseconds
	Time      time.Duration `json:"time"`      // for the rounds of one experiment: later none begins; 0 is for ever
}

// The efforts.
var (
	// Quick is for a first look: some ten minutes on an emulated host.
	Quick = Effort{"quick", 7, 0.1, 3, time.Minute, 75 * time.Second}
	// Normal is for a host of one's own.
	Normal = Effort{"normal", 30, 0.05, 16, time.Minute, 15 * time.Minute}
	// Full is for figures to publish.
	Full = Effort{"full", 200, 0.02, 256, time.Minute, 0}
)

// Done returns how many samples there are of this arm, metric and number of
// instances, with failed ones.
func (s *Session) Done(arm, metric string, instances int) int {
	n := 0
	for _, r := range s.Recorded() {
		if r.Arm == arm && r.Metric == metric && r.Instances == instances {
			n++
		}
	}
	return n
}

// late says that there is no time for another round.
func (s *Session) late() bool {
	return s.Effort.Time > 0 && time.Since(s.Began) > s.Effort.Time
}

// Failed records that err was the reason why there is no value for the sample,
// unless the reason is the end of ctx, which it returns.
func (s *Session) Failed(ctx context.Context, sample compare.Sample, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	sample.Failed = err.Error()
	return s.Record(sample)
}
