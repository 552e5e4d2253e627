package experiment

import (
	"sync"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// A notebook keeps samples as a run does.
type notebook struct {
	mu      sync.Mutex
	samples []compare.Sample
}

// session is one with these arms, whose samples are kept in n.
func (n *notebook) session(t *testing.T, effort Effort, arms ...armtest.Fake) *Session {
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
	return Effort{"brief", rounds, 0, instances, 5 * time.Second, 0}
}
