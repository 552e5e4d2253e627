package experiment

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
	"microvm/cmd/vmm/internal/measure"
)

// times are the values of an arm's times to a boundary with a warm page cache.
func (n *notebook) times(arm string, to compare.Boundary) []float64 {
	var values []float64
	for _, s := range n.of(arm, StartTime) {
		if s.To == to && s.Failed == "" && s.Cache == compare.Warm {
			values = append(values, s.Value)
		}
	}
	return values
}

// TestStart: what takes longer is measured as longer, by as much, between the
// boundaries where it is; and the instrument alone takes little.
func TestStart(t *testing.T) {
	var n notebook
	const rounds = 5
	s := n.session(t, brief(rounds, 1),
		armtest.Fake{Named: "fast", Script: armtest.Begin + armtest.End},
		armtest.Fake{Named: "late", Script: "sleep 0.3; " + armtest.Begin + armtest.End},
		armtest.Fake{Named: "lasting", Script: armtest.Begin + "sleep 0.3; " + armtest.End})
	if err := Start.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	median := func(arm string, to compare.Boundary) time.Duration {
		values := n.times(arm, to)
		if len(values) != rounds {
			t.Fatalf("%s has %d times to %s in %d rounds", arm, len(values), to, rounds)
		}
		return time.Duration(measure.Median(values) * float64(time.Second))
	}
	fast := median("fast", compare.Payload)
	if null := median(NullArm, compare.Exit); null <= 0 || null > 50*time.Millisecond {
		t.Errorf("the instrument alone takes %v", null)
	}
	for _, tt := range []struct {
		arm     string
		to      compare.Boundary
		delayed bool
	}{
		{"late", compare.Payload, true}, {"late", compare.Exit, true},
		{"lasting", compare.Payload, false}, {"lasting", compare.PayloadEnd, true}, {"lasting", compare.Exit, true},
	} {
		extra := median(tt.arm, tt.to) - fast
		if delayed := extra > 200*time.Millisecond; delayed != tt.delayed || extra > 450*time.Millisecond {
			t.Errorf("%s to %s takes %v longer than fast to its payload", tt.arm, tt.to, extra)
		}
	}
}

// TestStartOrder: each round has another order, and each run with the same seed
// the same orders.
func TestStartOrder(t *testing.T) {
	var n notebook
	arms := []armtest.Fake{{Named: "a"}, {Named: "b"}, {Named: "c"}, {Named: "d"}, {Named: "e"}}
	orders := make(map[string]bool)
	for round := range 10 {
		text := func() string {
			st, err := newStarter(n.session(t, brief(1, 1), arms...))
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, next := range st.order(round) {
				names = append(names, next.arm.Name()+string(next.cache))
			}
			return strings.Join(names, " ")
		}
		if a, b := text(), text(); a != b {
			t.Errorf("round %d is once %s, once %s", round, a, b)
		}
		orders[text()] = true
	}
	st, err := newStarter(n.session(t, brief(1, 1), arms...))
	if err != nil {
		t.Fatal(err)
	}
	last := st.order(coldRounds - 1)
	for i, next := range last {
		if cold := i > len(arms); st.canChill() && (next.cache == compare.Cold) != cold { // the instrument is warm, too
			t.Errorf("start %d of a cold round is %s", i, next.cache)
		}
	}
	if len(orders) < 9 {
		t.Errorf("10 rounds have %d orders", len(orders))
	}
}

// TestStartBadArms: an arm that fails, hangs or prints garbage is a failed sample
// with the reason, is left alone after a while, and disturbs no other.
func TestStartBadArms(t *testing.T) {
	var n notebook
	s := n.session(t, brief(4, 1),
		armtest.Fake{Named: "good", Script: armtest.Begin + armtest.End},
		armtest.Fake{Named: "failing", Script: "echo no such image; exit 3"},
		armtest.Fake{Named: "hanging", Script: "echo half way; " + armtest.Hang},
		armtest.Fake{Named: "noisy", Script: armtest.Noise},
		armtest.Fake{Named: "silent", Script: ":"})
	if err := Start.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := len(n.times("good", compare.Payload)); got < 4 {
		t.Errorf("the good arm has %d times, want 4 at least", got)
	}
	for arm, words := range map[string][]string{
		"failing": {"exit status 3", "no such image"},
		"hanging": {"took longer than 5s", "half way"},
		"noisy":   {"prints more than"},
	} {
		samples := n.of(arm, StartTime)
		if len(samples) != maxFailures {
			t.Errorf("%s was tried %d times, want %d", arm, len(samples), maxFailures)
		}
		for _, sample := range samples {
			for _, w := range words {
				if !strings.Contains(sample.Failed, w) {
					t.Errorf("%s: %q does not say %q", arm, sample.Failed, w)
				}
			}
		}
	}
	for _, sample := range n.of("silent", StartTime) {
		if seen := sample.To == compare.Exit; seen == (sample.Failed != "") {
			t.Errorf("an arm without marks: to %s %q", sample.To, sample.Failed)
		}
	}
}

// TestStartGoesOn: a run that was stopped anywhere goes on where it was, and
// measures nothing twice.
func TestStartGoesOn(t *testing.T) {
	var n notebook
	arms := []armtest.Fake{{Named: "a", Script: armtest.Begin + armtest.End}, {Named: "b", Script: armtest.Begin + armtest.End}}
	const rounds = 3
	stop := errors.New("stopped")
	runs := 0
	for ; ; runs++ {
		s := n.session(t, brief(rounds, 1), arms...)
		ctx, cancel := context.WithCancelCause(t.Context())
		enough := len(n.samples) + 5
		s.Progress = func(int, int) {
			if len(n.samples) >= enough {
				cancel(stop)
			}
		}
		err := Start.Run(ctx, s)
		cancel(nil)
		if err == nil {
			break
		}
		if !errors.Is(err, stop) || runs > 100 {
			t.Fatal(err)
		}
	}
	if runs < 2 {
		t.Errorf("it was stopped %d times only", runs)
	}
	seen := make(map[string]int)
	for _, s := range n.samples {
		if s.Failed != "" {
			t.Errorf("%s failed: %s", s.Arm, s.Failed)
		}
		seen[fmt.Sprint(s.Arm, s.To, s.Cache, s.Round)]++
	}
	for what, times := range seen {
		if times != 1 {
			t.Errorf("%s was measured %d times", what, times)
		}
	}
	if got := len(slices.Compact(n.times("a", compare.Exit))); got < rounds {
		t.Errorf("arm a has %d times, want %d at least", got, rounds)
	}
}

// TestStartLate: no round begins when the time is over, but for as many as an
// interval needs.
func TestStartLate(t *testing.T) {
	var n notebook
	effort := brief(50, 1)
	effort.Time = time.Nanosecond
	if err := Start.Run(t.Context(), n.session(t, effort, armtest.Fake{Named: "a", Script: armtest.Begin + armtest.End})); err != nil {
		t.Fatal(err)
	}
	if got := len(n.times("a", compare.Payload)); measure.Sparse(got) || !measure.Sparse(got-1) {
		t.Errorf("there were %d rounds", got)
	}
}

// TestStartPrecise: there are no more rounds than are needed.
func TestStartPrecise(t *testing.T) {
	var n notebook
	effort := brief(50, 1)
	effort.Precision = 100
	s := n.session(t, effort, armtest.Fake{Named: "a", Script: armtest.Begin + armtest.End})
	if err := Start.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	last := n.samples[len(n.samples)-1].Round
	if cold := (last + 1) / coldRounds; measure.Sparse(last+1) || last > 6*coldRounds || s.canChill() && measure.Sparse(cold) {
		t.Errorf("the last round is %d", last)
	}
}
