// Package experiment has what a comparison measures, a file each. An experiment
// runs payloads in all arms and records samples; what they mean is the business
// of package report.
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

// A Session is what an experiment works with.
type Session struct {
	Arms   []PreparedArm
	Effort Effort
	// Record keeps a sample, of which the experiment, the host and the time are
	// filled in.
	Record func(compare.Sample) error
	// Done returns how many samples with this arm, metric and number of instances a
	// run that was interrupted has left, in which a resumed run goes on.
	Done func(arm, metric string, instances int) int
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
	Rounds    int           // of each measurement, at most
	Precision float64       // half the relative width of the interval that is enough
	Instances int           // at once, at most
	Patience  time.Duration // for one instance
}
