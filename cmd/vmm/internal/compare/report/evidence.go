package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/host"
	"microvm/cmd/vmm/internal/measure"
)

// Evidence is what a run has measured, in groups of values that are values of the
// same thing.
type evidence struct {
	dir     string
	run     *session.Run
	samples int      // that the run has recorded
	groups  []*group // in the order of arms, and of the first sample of each
	kinds   map[string]arm.Kind
}

// A group has the samples with one key.
type group struct {
	compare.Key
	strange  bool // measured on another host than the run began on
	values   []float64
	rounds   []int    // of values
	texts    []string // of samples that are no numbers
	failures []string // why there is no value
}

// read reads the run in dir.
func read(dir string) (*evidence, error) {
	run, err := session.ReadRun(dir)
	if err != nil {
		return nil, err
	}
	samples, err := session.ReadSamples(dir)
	if err != nil {
		return nil, err
	}
	return newEvidence(dir, run, samples), nil
}

func newEvidence(dir string, run *session.Run, samples []compare.Sample) *evidence {
	cleanRun(run)
	e := &evidence{dir: dir, run: run, samples: len(samples), kinds: make(map[string]arm.Kind)}
	place := make(map[string]int)
	for i, a := range run.Arms {
		e.kinds[a.Name], place[a.Name] = a.Kind, i
	}
	placeOf := func(name string) int {
		if i, ok := place[name]; ok {
			return i
		}
		return len(place) // the instrument, and what is no arm
	}
	groups := make(map[compare.Key]*group)
	for i := range samples {
		s := &samples[i]
		s.Experiment, s.Arm, s.Metric, s.Unit = clean(s.Experiment), clean(s.Arm), clean(s.Metric), clean(s.Unit)
		g := groups[s.Key()]
		if g == nil {
			g = &group{Key: s.Key(), strange: s.Host != run.Digest}
			groups[s.Key()] = g
			e.groups = append(e.groups, g)
		}
		switch {
		case s.Failed != "":
			g.failures = append(g.failures, clean(s.Failed))
		case s.Unit == "": // words, perhaps none
			g.texts = append(g.texts, clean(s.Text))
		case s.Text != "": // a number with words to it
			g.texts = append(g.texts, clean(s.Text))
			fallthrough
		default:
			g.values = append(g.values, s.Value)
			g.rounds = append(g.rounds, s.Round)
		}
	}
	slices.SortStableFunc(e.groups, func(a, b *group) int { return placeOf(a.Arm) - placeOf(b.Arm) })
	return e
}

// maxText is how much of a text from an arm is shown: room for the names of all
// system calls. The file of samples has all of it.
const maxText = 5000

// clean makes a text that an arm's programs have written harmless to terminals
// and short: each character that does not show becomes a space or a mark.
func clean[S ~string](text S) S {
	short := []rune(strings.ToValidUTF8(string(text), "\uFFFD"))
	if len(short) > maxText {
		short = append(short[:maxText], '…')
	}
	return S(strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return '\uFFFD'
		}
		return r
	}, string(short))))
}

// cleanRun cleans the texts of a run.
func cleanRun(run *session.Run) {
	for i := range run.Arms {
		a := &run.Arms[i]
		a.Name, a.Kind, a.Summary, a.Install = clean(a.Name), clean(a.Kind), clean(a.Summary), clean(a.Install)
		a.Version, a.Problem = clean(a.Version), clean(a.Problem)
	}
	for i := range run.Inputs {
		in := &run.Inputs[i]
		in.Name, in.Path, in.SHA256 = clean(in.Name), clean(in.Path), clean(in.SHA256)
	}
	for _, words := range [][]string{run.Argv, run.Experiments, run.Payload} {
		for i := range words {
			words[i] = clean(words[i])
		}
	}
	run.Digest, run.VMM, run.Effort.Name = clean(run.Digest), clean(run.VMM), clean(run.Effort.Name)
	h := run.Host
	h.Kernel, h.CPU.Model, h.CPU.Virtualization = clean(h.Kernel), clean(h.CPU.Model), clean(h.CPU.Virtualization)
}

// where returns the groups with values for which all conditions hold.
func (e *evidence) where(conditions ...func(*group) bool) []*group {
	var found []*group
next:
	for _, g := range e.groups {
		if len(g.values) == 0 {
			continue
		}
		for _, holds := range conditions {
			if !holds(g) {
				continue next
			}
		}
		found = append(found, g)
	}
	return found
}

// metric is the condition that a group is of this metric of this experiment.
func metric(experiment, name string) func(*group) bool {
	return func(g *group) bool { return g.Experiment == experiment && g.Metric == name }
}

func between(from, to compare.Boundary) func(*group) bool {
	return func(g *group) bool { return g.From == from && g.To == to }
}

func cache(c compare.Cache) func(*group) bool {
	return func(g *group) bool { return g.Cache == c }
}

func instances(n int) func(*group) bool {
	return func(g *group) bool { return g.Instances == n }
}

// amount is the condition that a group's values are an amount or a number, which
// is hardly different from round to round.
func amount(g *group) bool { return g.Unit == compare.Bytes || g.Unit == compare.Count }

func not(condition func(*group) bool) func(*group) bool {
	return func(g *group) bool { return !condition(g) }
}

func ofExperiment(name string) func(*group) bool {
	return func(g *group) bool { return g.Experiment == name }
}

// of is the condition that the arm is of one of the kinds.
func (e *evidence) of(kinds ...arm.Kind) func(*group) bool {
	return func(g *group) bool { return slices.Contains(kinds, e.kinds[g.Arm]) }
}

// isArm is the condition that a group is of an arm.
func (e *evidence) isArm(name string) func(*group) bool {
	return func(g *group) bool { return g.Arm == name }
}

// first returns the first arm of a kind that the experiment has values of, "" if
// none. The first virtual machine is vmm's own: arms are in the order in which it
// knows them.
func (e *evidence) first(kind arm.Kind, name string) string {
	if all := e.where(ofExperiment(name), e.of(kind)); len(all) > 0 {
		return all[0].Arm
	}
	return ""
}

// one returns the arm's values of a metric of an experiment, nil if it has none.
func (e *evidence) one(name, what, arm string) *group {
	if all := e.where(metric(name, what), e.isArm(arm)); len(all) > 0 {
		return all[0]
	}
	return nil
}

// emulated says that absolute times of the run mean nothing.
func (e *evidence) emulated() bool { return e.run.Host.Reality() == host.Emulated }

// lowest returns the group with the lowest median, nil of none.
func lowest(groups []*group) *group {
	if len(groups) == 0 {
		return nil
	}
	return slices.MinFunc(groups, func(a, b *group) int { return cmp.Compare(a.median(), b.median()) })
}

// shortDigest is how many digits of a host's digest are shown.
const shortDigest = 8

// label is the arm's name, with the host if that is not the run's.
func (g *group) label() string {
	if g.strange {
		return g.Arm + " on host " + g.Host[:min(len(g.Host), shortDigest)]
	}
	return g.Arm
}

// estimate is the median, with its interval if there can be one.
func (g *group) estimate() string {
	s := measure.Summarize(g.values)
	switch {
	case s.Min == s.Max:
		return format(g.Unit, s.P50)
	case measure.Sparse(s.N):
		return fmt.Sprintf("%s (between %s)", format(g.Unit, s.P50), interval(g.Unit, s.Min, s.Max))
	}
	return fmt.Sprintf("%s (95 %% interval %s)", format(g.Unit, s.P50), interval(g.Unit, s.Low, s.High))
}

func (g *group) median() float64 { return measure.Median(g.values) }

// short is the median with its unit.
func (g *group) short() string { return format(g.Unit, g.median()) }
