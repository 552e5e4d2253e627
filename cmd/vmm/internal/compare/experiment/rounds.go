package experiment

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/measure"
	"microvm/guestinit/payload/protocol"
)

// A job is what an arm's payload is asked for, once in each round.
type job struct {
	arm   PreparedArm
	modes []mode
}

// A mode is one of the payload's with its arguments, and the metrics that it has
// to say.
type mode struct {
	argv []string
	says []metric
}

// A metric is a name and what its values count.
type metric struct {
	name string
	unit compare.Unit
}

// in returns what was said of the metric, nil if nothing.
func (m metric) in(said []protocol.Line) *protocol.Result {
	for _, line := range said {
		if r, is := line.(*protocol.Result); is && r.Metric == m.name && r.Unit == string(m.unit) {
			return r
		}
	}
	return nil
}

// argv is the payload's: the modes one after the other, so that a guest
// boots once for all of them.
func (j *job) argv() []string {
	argv := []string{program}
	for i, m := range j.modes {
		if i > 0 {
			argv = append(argv, protocol.Then)
		}
		argv = append(argv, m.argv...)
	}
	return argv
}

// metrics are those of all modes.
func (j *job) metrics() (all []metric) {
	for _, m := range j.modes {
		all = append(all, m.says...)
	}
	return all
}

// workRounds is how many rounds are made at most of jobs that measure rates, of
// which each round's value is already one of thousands of operations: half of
// what starts take, but enough for an interval of the median.
func (e Effort) workRounds() int {
	enough := 0
	for measure.Sparse(enough) {
		enough++
	}
	return min(e.Rounds, max(enough, (e.Rounds+1)/2))
}

// precise reports whether the median of values is known as precisely as wanted.
func (e Effort) precise(values []float64) bool {
	if measure.Sparse(len(values)) {
		return false
	}
	low, high := measure.MedianInterval(values)
	return (high-low)/2 <= e.Precision*measure.Median(values)
}

// leastRounds is how many rounds there are however long they take: from one value, it
// cannot be seen how much values differ, and two may agree by chance.
const leastRounds = 3

// interleave calls do for each of n things in each round, in an order that is random and
// new, up to the first error. When it is late, after the least number of rounds, no more
// begins.
func (s *Session) interleave(rounds, least, n int, do func(i, round int) error) error {
	for round := range rounds {
		if round >= least && s.late() {
			break
		}
		random := rand.New(rand.NewPCG(s.Seed, uint64(round)))
		for step, i := range random.Perm(n) {
			s.Progress(round*n+step, rounds*n)
			if err := do(i, round); err != nil {
				return err
			}
		}
	}
	return nil
}

// rounds does each job in each round, interleaved, until the medians are known as
// precisely as wanted. A job of an earlier run is not done again, and one that fails
// too often in a row is given up.
func (s *Session) rounds(ctx context.Context, jobs []job) error {
	failures := make([]int, len(jobs))
	return s.interleave(s.Effort.workRounds(), leastRounds, len(jobs), func(i, round int) error {
		j := &jobs[i]
		if s.didRound(j.arm, j.metrics(), round) || failures[i] >= maxFailures || s.enough(j) {
			return nil
		}
		ok, err := s.do(ctx, j, round)
		if failures[i]++; ok {
			failures[i] = 0
		}
		return err
	})
}

// didRound reports whether the last of an arm's metrics has a sample of a round.
func (s *Session) didRound(a PreparedArm, metrics []metric, round int) bool {
	last := metrics[len(metrics)-1]
	return slices.ContainsFunc(s.Recorded(), func(r compare.Sample) bool {
		return r.Round == round && r.Arm == a.Name() && r.Metric == last.name
	})
}

// enough reports whether the medians of all metrics of a job are known as
// precisely as wanted.
func (s *Session) enough(j *job) bool {
	values := make(map[string][]float64)
	for _, r := range s.Recorded() {
		if r.Arm == j.arm.Name() && r.Failed == "" {
			values[r.Metric] = append(values[r.Metric], r.Value)
		}
	}
	for _, m := range j.metrics() {
		if !s.Effort.precise(values[m.name]) {
			return false
		}
	}
	return true
}

// do does a job once and records what the payload says of its metrics, and of each
// that it does not say, why. It is ok if nothing has failed.
func (s *Session) do(ctx context.Context, j *job, round int) (ok bool, err error) {
	result, failed := s.Complete(ctx, j.arm, j.argv())
	said, garbled := parseOutput(result.Output)
	if failed == nil {
		failed = garbled
	}
	ok = failed == nil
	for _, m := range j.metrics() {
		sample := compare.Sample{Arm: j.arm.Name(), Metric: m.name, Unit: m.unit, Round: round}
		switch result := m.in(said); {
		case result != nil:
			sample.Value = result.Value
			err = s.Record(sample)
		case failed != nil:
			err = s.Failed(ctx, sample, failed)
		default:
			ok = false
			err = s.Failed(ctx, sample, fmt.Errorf("the payload does not say %s in %s", m.name, m.unit))
		}
		if err != nil {
			return false, err
		}
	}
	return ok, nil
}

// parseOutput returns what the payload says in an instance's output, which may have
// a console's messages in it. A line that is garbled is an error, and no
// reason to do without the others.
func parseOutput(output string) (said []protocol.Line, err error) {
	for text := range strings.Lines(output) {
		line, lineErr := protocol.Parse(text)
		if lineErr != nil {
			err = lineErr
		}
		if line != nil {
			said = append(said, line)
		}
	}
	return said, err
}
