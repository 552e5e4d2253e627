package experiment

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/measure"
)

// Start measures how long a payload takes to start and to end.
//
// In each round every arm starts once, and at the end of each sixth once more with a
// cold page cache, in an order that is random and new, so that what drifts on the host
// falls on all of them. There are rounds until the interval of each median is as narrow as
// wanted, or the time is over and there are enough for an interval.
var Start = &Experiment{
	Name:  "start",
	About: "time from spawn to each boundary, to the payload's first instruction above all",
	Run: func(ctx context.Context, s *Session) error {
		st, err := newStarter(s)
		if err != nil {
			return err
		}
		return st.run(ctx)
	},
}

// StartTime is the time from spawn to the boundary that the sample ends at.
const StartTime = "time"

// maxFailures is how often in a row an arm may fail before an experiment leaves
// it alone.
const maxFailures = 2

// coldRounds is how many rounds end with cold starts, one of so many. They take long, and
// what comes after them has to be made warm again. A run that ends when there are enough
// warm ones for an interval has them once, at its end.
const coldRounds = 6

// A start is one to be measured.
type start struct {
	arm   PreparedArm
	cache compare.Cache
}

// A starter measures starts.
type starter struct {
	*Session
	starts   []start
	failures map[string]int  // of each arm, in a row
	warm     map[string]bool // whether what an arm starts from is in the page cache
}

func newStarter(s *Session) (*starter, error) {
	st := &starter{Session: s, failures: make(map[string]int), warm: make(map[string]bool)}
	null, err := newNull(s.Dir)
	if err != nil {
		return nil, err
	}
	st.starts = []start{{null, compare.Warm}}
	for _, a := range s.Arms {
		st.warm[a.Name()] = true // an arm was tried when it was prepared
		st.starts = append(st.starts, start{a, compare.Warm})
		if s.canChill() {
			st.starts = append(st.starts, start{a, compare.Cold})
		}
	}
	return st, nil
}

func (st *starter) run(ctx context.Context) error {
	done := make(map[doneKey]bool)
	for _, r := range st.Recorded() {
		done[doneKey{r.Round, r.Arm, r.Cache}] = true
	}
	for round := range st.Effort.Rounds {
		for i, next := range st.order(round) {
			if done[doneKey{round, next.arm.Name(), next.cache}] || st.failures[next.arm.Name()] >= maxFailures {
				continue
			}
			st.Progress(st.before(round)+i, st.before(st.Effort.Rounds))
			if err := st.measure(ctx, next, round); err != nil {
				return err
			}
		}
		if st.precise() || st.late() && !measure.Sparse(round+1) {
			break
		}
	}
	return nil
}

// before is how many starts there are in the rounds before one.
func (st *starter) before(round int) (n int) {
	for r := range round {
		n += len(st.of(r))
	}
	return n
}

// A doneKey is what tells one start from the others.
type doneKey struct {
	round int
	arm   string
	cache compare.Cache
}

// of are the starts in a round.
func (st *starter) of(round int) []start {
	var all []start
	for _, next := range st.starts {
		if next.cache == compare.Warm || (round+1)%coldRounds == 0 {
			all = append(all, next)
		}
	}
	return all
}

// order is that of the starts in a round, the same however often a run goes on: cold
// ones come last.
func (st *starter) order(round int) []start {
	order := st.of(round)
	random := rand.New(rand.NewPCG(st.Seed, uint64(round)))
	random.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	slices.SortStableFunc(order, func(a, b start) int {
		return cmp.Compare(b.cache, a.cache) // "warm" is above "cold"
	})
	return order
}

// measure makes one start and records it.
func (st *starter) measure(ctx context.Context, next start, round int) error {
	name := next.arm.Name()
	sample := compare.Sample{Arm: name, Metric: StartTime, Unit: compare.Seconds, From: compare.Spawn, Cache: next.cache, Round: round}
	if err := st.makeCache(ctx, next); err != nil {
		st.failures[name]++
		return st.Failed(ctx, sample, err)
	}
	result, err := st.Complete(ctx, next.arm, st.Session.Start)
	if err != nil {
		st.failures[name]++
		return st.Failed(ctx, sample, err)
	}
	st.failures[name], st.warm[name] = 0, true
	for _, to := range next.arm.Passes() {
		if to == compare.Spawn {
			continue
		}
		sample.To, sample.Failed = to, ""
		passed, ok := result.Passed[to]
		if sample.Value = passed.Seconds(); !ok {
			sample.Failed = "the boundary was not seen"
		}
		if err := st.Record(sample); err != nil {
			return err
		}
	}
	return nil
}

// makeCache puts the page cache into the state that the start wants.
func (st *starter) makeCache(ctx context.Context, next start) error {
	name := next.arm.Name()
	switch {
	case next.cache == compare.Cold:
		clear(st.warm) // arms share files
		return st.chill(next.arm)
	case !st.warm[name]:
		_, err := st.Complete(ctx, next.arm, st.Session.Start)
		return err
	}
	return nil
}

// precise says that the median time to the payload is known well enough for
// each start.
func (st *starter) precise() bool {
	values := make(map[doneKey][]float64)
	for _, r := range st.Recorded() {
		if r.To == compare.Payload && r.Failed == "" {
			key := doneKey{arm: r.Arm, cache: r.Cache}
			values[key] = append(values[key], r.Value)
		}
	}
	for _, v := range values {
		if !st.Effort.precise(v) {
			return false
		}
	}
	return true
}
