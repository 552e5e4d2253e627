package experiment

import (
	"context"
	"errors"
	"io"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// turnsPerRound is how many turns there are where others have a round: these need no
// start of an instance.
const turnsPerRound = 8

// turns has an instance of each arm at the same time, of which one works and the others
// wait. They take turns, interleaved. So what the arms are compared by is moments apart,
// where a host's speed drifts within minutes.
// Guests that wait are stopped, as their kernels, and monitors, would not be idle.
//
// The payload waits in a mode that works for each line of its input and then says all
// of these metrics. An arm that fails is left out from then on.
func (s *Session) turns(ctx context.Context, mode string, says []metric) (err error) {
	rounds := turnsPerRound * s.Effort.Rounds
	var takers []*taker
	defer func() {
		for _, t := range takers {
			t.signal(unix.SIGCONT)
			err = errors.Join(err, t.check(ctx, rounds, t.dismiss(ctx)))
		}
	}()
	for _, a := range s.Arms {
		if s.hasFailed(a) {
			continue
		}
		t := &taker{herd: herd{Session: s, arm: a, waits: mode}, says: says}
		takers = append(takers, t)
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	return s.interleave(rounds, leastRounds, len(takers), func(i, round int) error { return takers[i].turn(ctx, round) })
}

// A taker is a herd of one instance, which takes turns, or of none if it has failed.
type taker struct {
	herd
	says  []metric
	ended int // where its output ends that is of its turns until now
}

// start starts the instance and waits until that does.
func (t *taker) start(ctx context.Context) error {
	err := t.mayAdd(room{}) // there is no average yet
	if err == nil {
		_, err = t.add(ctx)
	}
	if err == nil {
		_, t.ended, err = t.saidSince(ctx, t.all[0], 0, t.waiting)
	}
	if err == nil {
		t.signal(unix.SIGSTOP)
	}
	return t.check(ctx, 0, err)
}

// signal stops a guest, which is its monitor, or lets it go on. Others wait in a read.
func (t *taker) signal(number unix.Signal) {
	if t.arm.Kind() != arm.VM {
		return
	}
	for _, pid := range t.processes() {
		_ = unix.Kill(pid, number) // of one that has just ended, the next turn tells
	}
}

func (t *taker) waiting(lines []protocol.Line) bool {
	return len(lines) > 0 && isWaiting(lines[len(lines)-1])
}

// turn has the instance work once, and records what it says of that. What an earlier
// run has done is not done again.
func (t *taker) turn(ctx context.Context, round int) error {
	if len(t.all) == 0 || t.didRound(t.arm, t.says, round) {
		return nil
	}
	said, err := t.work(ctx)
	if err != nil {
		return t.check(ctx, round, err)
	}
	for _, m := range t.says {
		sample := compare.Sample{Arm: t.arm.Name(), Metric: m.name, Unit: m.unit, Round: round, Value: m.in(said).Value}
		if err := t.Record(sample); err != nil {
			return err
		}
	}
	return nil
}

// work returns what the instance says when it has worked.
func (t *taker) work(ctx context.Context) (said []protocol.Line, err error) {
	t.signal(unix.SIGCONT)
	defer t.signal(unix.SIGSTOP)
	if _, err := io.WriteString(t.all[0].Stdin(), "\n"); err != nil {
		return nil, err
	}
	said, t.ended, err = t.saidSince(ctx, t.all[0], t.ended, func(lines []protocol.Line) bool {
		for _, m := range t.says {
			if m.in(lines) == nil {
				return false
			}
		}
		return true
	})
	return said, err
}

// check records that the arm has failed in a round, if err is why, and takes its
// instance away.
func (t *taker) check(ctx context.Context, round int, err error) error {
	if err == nil {
		return nil
	}
	for _, i := range t.all {
		err = errors.Join(err, i.Kill())
	}
	t.all = nil
	for _, m := range t.says {
		if err := t.Failed(ctx, compare.Sample{Arm: t.arm.Name(), Metric: m.name, Unit: m.unit, Round: round}, err); err != nil {
			return err
		}
	}
	return nil
}
