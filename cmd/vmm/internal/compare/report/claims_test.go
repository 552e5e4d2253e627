package report

import (
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// verdicts are those of a run by the experiment that asks.
func verdicts(m *madeUp) map[string]answered {
	all := make(map[string]answered)
	for _, c := range m.evidence().answers() {
		all[c.Experiment] = c
	}
	return all
}

// With values of everything each claim is decided, and rests on samples that the
// command beside them selects.
func TestVerdicts(t *testing.T) {
	want := map[string]verdict{
		"start": no, "disk": userSpace, "memory": partly, "density": no, "request": partly,
		"work": yes, "kernel": yes, "isolation": no, "replication": yes,
	}
	got := verdicts(newMadeUp().everything())
	for experiment, verdict := range want {
		c := got[experiment]
		if c.Verdict != verdict {
			t.Errorf("%s: %q, want %q: %s", experiment, c.Verdict, verdict, c.Because)
		}
		if len(c.Figures) == 0 {
			t.Errorf("%s rests on nothing", experiment)
		}
		for _, f := range c.Figures {
			if f.Samples == 0 || !strings.Contains(f.Trace, `.experiment == "`+experiment+`"`) {
				t.Errorf("%s: %q rests on %d samples, %s", experiment, f.What, f.Samples, f.Trace)
			}
		}
	}
}

// change multiplies the values of a kind of arm.
func (m *madeUp) change(experiment, metric string, kind arm.Kind, factor float64) {
	kinds := m.evidence().kinds
	for i := range m.samples {
		s := &m.samples[i]
		if s.Experiment == experiment && s.Metric == metric && kinds[s.Arm] == kind {
			s.Value *= factor
		}
	}
}

// Other values give other verdicts.
func TestVerdictsOfOtherValues(t *testing.T) {
	for _, tt := range []struct {
		name       string
		change     func(*madeUp)
		experiment string
		want       verdict
	}{
		{"minutes under emulation", func(m *madeUp) { m.change("start", "time", arm.VM, 60) }, "start", undecided},
		{"minutes on metal", func(m *madeUp) {
			m.change("start", "time", arm.VM, 60)
			m.run.Host.CPU.Model, m.run.Host.CPU.Hypervisor = "a processor", false
		}, "start", yes},
		{"a distribution in each machine", func(m *madeUp) { m.change("disk", "files", arm.VM, 1000) }, "disk", yes},
		{"nothing shared", func(m *madeUp) { m.change("memory", "rss", arm.VM, 1/1.4) }, "memory", yes},
		{"fast requests", func(m *madeUp) {
			m.change("request", protocol.Read, arm.VM, 3)
			m.change("request", protocol.RoundTrip, arm.VM, 3)
		}, "request", no},
		{"slow containers", func(m *madeUp) { m.change("work", protocol.CPU, arm.Container, 0.8) }, "work", no},
		{"one slow container", func(m *madeUp) {
			for i := range m.samples {
				if s := &m.samples[i]; s.Experiment == "work" && s.Arm == "crun" {
					s.Value *= 0.9
				}
			}
		}, "work", no},
		{"containers that may be slow", func(m *madeUp) {
			for i := range m.samples {
				if s := &m.samples[i]; s.Experiment == "work" && s.Arm != "process" {
					s.Value *= 0.95 + 0.1*float64(s.Round%2)
				}
			}
		}, "work", undecided},
		{"a host that becomes twice as fast", func(m *madeUp) {
			for i := range m.samples {
				if s := &m.samples[i]; s.Experiment == "work" {
					s.Value *= 1 + float64(s.Round)/7
				}
			}
		}, "work", yes},
		{"one copy", func(m *madeUp) { m.change("replication", "root", arm.VM, 0.25) }, "replication", no},
	} {
		m := newMadeUp().everything()
		tt.change(m)
		if c := verdicts(m)[tt.experiment]; c.Verdict != tt.want {
			t.Errorf("%s: %q, want %q: %s", tt.name, c.Verdict, tt.want, c.Because)
		}
	}
}

// A container with a kernel of its own makes it false that containers share one. A
// sandbox that has one is no container.
func TestVerdictOfKernels(t *testing.T) {
	m := newMadeUp().everything()
	for i := range m.samples {
		if s := &m.samples[i]; s.Experiment == "kernel" && s.Arm == "crun" {
			s.Text = "4.4.0"
		}
	}
	if c := verdicts(m)["kernel"]; c.Verdict != no {
		t.Errorf("%q: %s", c.Verdict, c.Because)
	}
	for i := range m.run.Arms {
		if a := &m.run.Arms[i]; a.Name == "crun" {
			a.Kind = arm.Sandbox
		}
	}
	if c := verdicts(m)["kernel"]; c.Verdict != yes || !strings.Contains(c.Because, "a program, which is neither, says 4.4.0") {
		t.Errorf("%q: %s", c.Verdict, c.Because)
	}
}

func TestInterruptedRunSaysSo(t *testing.T) {
	m := newMadeUp()
	m.run.Finished = time.Time{}
	if w := m.evidence().warning(); !strings.Contains(w, "interrupted") {
		t.Errorf("got %q", w)
	}
}

func TestTrace(t *testing.T) {
	got := trace(compare.Key{Experiment: "start", Arm: "it's", Metric: "time", Instances: 2})
	want := `jq -r 'select(.experiment == "start" and .metric == "time" and .arm == "it'\''s" and .instances == 2) | ` +
		`[.arm, .instances // 0, .round, .failed // .text // .value] | @tsv' samples.jsonl`
	if got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
}
