package experiment

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// A herd is a number of instances of an arm that run at the same time, each with
// a payload that waits.
type herd struct {
	*Session
	arm   PreparedArm
	round int
	first string // the payload's mode before it waits; "" is none
	waits string // in which it waits; "" is the one that does nothing else
	all   []*arm.Instance
}

// herdRounds is how many rounds are made of what needs many instances at once, which
// takes long and differs little.
func (e Effort) herdRounds() int { return max(1, e.Rounds/5) }

// herds calls measure for each arm in each round, interleaved. It leaves out what an
// earlier run has done, of which the last sample is of that metric and number of
// instances, and arms that have failed.
func (s *Session) herds(ctx context.Context, last string, instances int, measure func(a PreparedArm, round int) error) error {
	return s.interleave(s.Effort.herdRounds(), 1, len(s.Arms), func(i, round int) error {
		a := s.Arms[i]
		if s.Done(a.Name(), last, instances) > round || s.hasFailed(a) {
			return nil
		}
		return measure(a, round)
	})
}

// hasFailed says that an arm has given no value in this experiment.
func (s *Session) hasFailed(a PreparedArm) bool {
	return slices.ContainsFunc(s.Recorded(), func(r compare.Sample) bool { return r.Arm == a.Name() && r.Failed != "" })
}

// add starts one more and returns how long its payload took to start, 0 if the arm does
// not show it. One that does not start is none of the herd.
func (h *herd) add(ctx context.Context) (time.Duration, error) {
	argv := []string{program, cmp.Or(h.waits, protocol.ModeHold)}
	if h.first != "" {
		argv = slices.Insert(argv, 1, h.first, protocol.Then)
	}
	i, err := h.Launch(ctx, h.arm, argv)
	if err != nil {
		return 0, err
	}
	took, err := h.awaitPayload(ctx, i)
	if err != nil {
		return 0, errors.Join(err, i.Kill())
	}
	h.all = append(h.all, i)
	return took, nil
}

// awaitPayload waits for an instance's payload, where the arm does not show its start
// until it says that it waits.
func (h *herd) awaitPayload(ctx context.Context, i *arm.Instance) (time.Duration, error) {
	if !h.showsPayload() {
		_, err := h.said(ctx, i)
		return 0, err
	}
	ctx, cancel := h.patience(ctx)
	defer cancel()
	return i.Await(ctx, compare.Payload)
}

// showsPayload says whether the arm shows the payload's start.
func (h *herd) showsPayload() bool { return slices.Contains(h.arm.Passes(), compare.Payload) }

// said returns what an instance has said when it waits.
func (h *herd) said(ctx context.Context, i *arm.Instance) ([]protocol.Line, error) {
	lines, _, err := h.saidSince(ctx, i, 0, func(lines []protocol.Line) bool { return slices.ContainsFunc(lines, isWaiting) })
	return lines, err
}

// saidSince returns what an instance has said from a byte of its output on when that is
// all, and where that ends. It fails if the instance ends before.
func (h *herd) saidSince(ctx context.Context, i *arm.Instance, from int, all func([]protocol.Line) bool) ([]protocol.Line, int, error) {
	ctx, cancel := h.patience(ctx)
	defer cancel()
	for {
		ended := i.Ended()
		output := i.Output()
		end := strings.LastIndexByte(output, '\n') + 1 // what follows may be part of a line
		lines, err := parseOutput(output[from:max(from, end)])
		if err != nil {
			return nil, 0, err
		}
		if all(lines) {
			return lines, end, nil
		}
		if ended {
			_, err := i.Wait(ctx)
			return nil, 0, fmt.Errorf("ended before it had said all: %w", cmp.Or(err, arm.ErrSilent))
		}
		if err := sleep(ctx, pollTime); err != nil {
			return nil, 0, fmt.Errorf("has not said all: %w", err)
		}
	}
}

// pollTime is between two looks at an instance's output.
const pollTime = 10 * time.Millisecond

func isWaiting(line protocol.Line) bool {
	text, ok := line.(*protocol.Text)
	return ok && text.Metric == protocol.Waits
}

// processes are those of all instances.
func (h *herd) processes() []int {
	var all []int
	for _, i := range h.all {
		all = append(all, i.Processes()...)
	}
	return all
}

// endOfTransmission ends a terminal's input (termios(3) VEOF).
const endOfTransmission = 4

// dismiss ends all instances, each by the end of its input, and by force those that
// do not end.
func (h *herd) dismiss(ctx context.Context) error {
	ctx, cancel := h.patience(ctx)
	defer cancel()
	var errs []error
	for _, i := range h.all {
		if h.arm.Kind() == arm.VM {
			// A guest reads a terminal, whose input ends with a character, and not
			// every monitor makes one of the end of its own.
			_, _ = i.Stdin().Write([]byte{endOfTransmission})
		}
		_ = i.Stdin().Close() // of one that has ended, Wait tells
	}
	for n, i := range h.all {
		if _, err := i.Wait(ctx); err != nil {
			errs = append(errs, fmt.Errorf("instance %d: %w", n+1, err))
		}
	}
	h.all = nil
	return errors.Join(errs...)
}
