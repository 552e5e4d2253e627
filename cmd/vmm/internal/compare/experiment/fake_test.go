package experiment

import (
	"context"
	"sync"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
)

// A fake is an arm that is a shell script.
type fake struct {
	name, script string
	kind         arm.Kind
}

func (f fake) Name() string    { return f.name }
func (f fake) Kind() arm.Kind  { return f.kind }
func (f fake) Summary() string { return "a fake" }
func (f fake) Install() string { return "" }
func (f fake) Passes() []compare.Boundary {
	return []compare.Boundary{compare.Spawn, compare.Payload, compare.PayloadEnd, compare.Exit}
}
func (f fake) Probe(context.Context, *arm.Env) (string, error) { return "1", nil }
func (f fake) Prepare(context.Context, *arm.Env, string, string) (arm.Prepared, error) {
	return f, nil
}
func (f fake) Command(id string, _ []string) (*arm.Command, error) {
	return &arm.Command{ID: id, Argv: []string{"/bin/sh", "-c", f.script}, Marks: arm.ByteMarks}, nil
}
func (f fake) Files() []string             { return nil }
func (f fake) Close(context.Context) error { return nil }

// Scripts of fakes. The bytes are guestport's StageProgram and StageProgramEnd.
const (
	begin = `printf '\5' >&3; `
	end   = `printf '\6' >&3; `
	hold  = begin + "cat; " + end
	hang  = "exec sleep 1000"
)

// A notebook keeps samples as a run does.
type notebook struct {
	mu      sync.Mutex
	samples []compare.Sample
}

// session is one with these arms, whose samples are kept in n.
func (n *notebook) session(t *testing.T, effort Effort, arms ...fake) *Session {
	s := &Session{
		Env: &arm.Env{Memory: 1 << 20}, Root: t.TempDir(), Dir: t.TempDir(), Effort: effort, Seed: 1,
		Start: []string{program},
		Record: func(s compare.Sample) error {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.samples = append(n.samples, s)
			return nil
		},
		Recorded: func() []compare.Sample { return append([]compare.Sample(nil), n.samples...) },
		Progress: func(int, int) {},
	}
	for _, a := range arms {
		s.Arms = append(s.Arms, PreparedArm{a, a})
	}
	return s
}

// of are the samples of an arm and a metric.
func (n *notebook) of(arm, metric string) []compare.Sample {
	var all []compare.Sample
	for _, s := range n.samples {
		if s.Arm == arm && s.Metric == metric {
			all = append(all, s)
		}
	}
	return all
}

// brief is an effort that ends soon.
func brief(rounds, instances int) Effort {
	return Effort{"brief", rounds, 0, instances, 500 * time.Millisecond}
}
