package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/host"
)

// A page is what a report says, in whatever form.
type page struct {
	Warning  string // what all values must be read with, "" for nothing
	Facts    [][2]string
	Claims   []answered
	Plots    []plot
	Sections []section
	Usable   []session.Arm
	Missing  []session.Arm
	Host     [][2]string
	Run      [][2]string
	Inputs   []session.Input
	Method   []string
	Again    []string // commands that repeat the run and the report
}

func (e *evidence) page() (*page, error) {
	plots, err := e.plots()
	if err != nil {
		return nil, err
	}
	p := &page{
		Warning:  e.warning(),
		Facts:    e.facts(),
		Claims:   e.answers(),
		Plots:    plots,
		Sections: e.sections(),
		Host:     hostFacts(e.run),
		Run:      runFacts(e.run),
		Inputs:   e.run.Inputs,
		Method:   method,
		Again:    e.again(),
	}
	for _, a := range e.run.Arms {
		if a.Problem == "" {
			p.Usable = append(p.Usable, a)
		} else {
			p.Missing = append(p.Missing, a)
		}
	}
	return p, nil
}

// mark is the word for what is not a real host, "" for one that is.
func (e *evidence) mark() string {
	switch e.run.Host.Reality() {
	case host.Emulated:
		return "emulated KVM"
	case host.Nested:
		return "nested KVM"
	}
	return ""
}

// warning is what must stand on each page.
func (e *evidence) warning() string {
	var all []string
	switch e.run.Host.Reality() {
	case host.Emulated:
		all = append(all, "Emulated KVM: a program emulates this host's processor, some tens of times slower than metal, and what leaves a guest costs more than in proportion. Only ratios within this run mean anything, and those between virtual machines and containers are rather too large than too small.")
	case host.Nested:
		all = append(all, "Nested KVM: this host is a virtual machine itself. What leaves a guest of its own goes through two hypervisors and costs more than on metal.")
	}
	if e.run.Finished.IsZero() {
		all = append(all, "This run was interrupted: what it did not come to is missing.")
	}
	if others := e.otherHosts(); len(others) > 0 {
		all = append(all, fmt.Sprintf("Parts were measured on %d other hosts; they are in no ratio.", len(others)))
	}
	return strings.Join(all, " ")
}

// otherHosts are the digests of hosts that the run went on with.
func (e *evidence) otherHosts() []string {
	digests := make(map[string]bool)
	for _, g := range e.groups {
		if g.strange {
			digests[g.Host] = true
		}
	}
	return slices.Sorted(maps.Keys(digests))
}

// facts are what the report begins with.
func (e *evidence) facts() [][2]string {
	facts := [][2]string{
		{"measured", day(e.run.Started)},
		{"processor", e.run.Host.CPU.Model},
		{"kernel", e.run.Host.Kernel},
		{"effort", e.run.Effort.Name},
		{"raw samples", fmt.Sprint(e.samples)},
	}
	if !e.run.Finished.IsZero() {
		facts = append(facts, [2]string{"took", e.run.Finished.Sub(e.run.Started).Round(time.Second).String()})
	}
	return facts
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

// hostFacts are all that the run knows of its host.
func hostFacts(run *session.Run) [][2]string {
	h := run.Host
	facts := [][2]string{
		{"kernel", h.Kernel},
		{"processor", fmt.Sprintf("%s, %d logical", h.CPU.Model, h.CPU.Count)},
		{"virtualization", cmp.Or(h.CPU.Virtualization, "none")},
		{"reality", string(h.Reality())},
	}
	for _, m := range h.Modules {
		text := "loaded"
		if m.Paging != "" {
			text = "nested paging " + m.Paging
		}
		for _, name := range slices.Sorted(maps.Keys(m.Parameters)) {
			text += fmt.Sprintf(", %s=%s", name, m.Parameters[name])
		}
		facts = append(facts, [2]string{"module " + m.Module, text})
	}
	facts = append(facts,
		[2]string{"memory", fmt.Sprintf("%s, of which %s were available", size.Human(h.MemoryTotal), size.Human(h.MemoryAvailable))},
		[2]string{"transparent huge pages", cmp.Or(h.THP, "none")},
		[2]string{"huge pages set aside", fmt.Sprintf("%d of %s", h.HugePages.Total, size.Human(h.HugePages.Size))},
		[2]string{"cgroups", cgroup(h.Cgroup)},
		[2]string{"frequency governor", cmp.Or(h.Governor, "none")})
	for _, name := range slices.Sorted(maps.Keys(h.Mitigations)) {
		facts = append(facts, [2]string{"mitigation of " + name, h.Mitigations[name]})
	}
	facts = append(facts, [2]string{"digest", run.Digest})
	for i := range facts {
		facts[i] = [2]string{clean(facts[i][0]), clean(facts[i][1])}
	}
	return facts
}

// runFacts are how the run was made.
func runFacts(run *session.Run) [][2]string {
	return [][2]string{
		{"vmm", run.VMM},
		{"payload", strings.Join(run.Payload, " ")},
		{"memory of each guest", size.Human(run.Memory)},
		{"effort", effortText(run.Effort)},
		{"seed of the random order", fmt.Sprint(run.Seed)},
		{"experiments", strings.Join(run.Experiments, ", ")},
	}
}

func effortText(e experiment.Effort) string {
	text := fmt.Sprintf("%s: at most %d rounds, fewer if intervals are within %.0f %% of the median", e.Name, e.Rounds, 100*e.Precision)
	if e.Time > 0 {
		text += fmt.Sprintf(", or after %v of an experiment", e.Time)
	}
	return text + fmt.Sprintf("; at most %d instances; %v for each to start", e.Instances, e.Patience)
}

func cgroup(c host.Cgroup) string {
	text := "none"
	if c.Version > 0 {
		text = fmt.Sprintf("version %d", c.Version)
	}
	if c.Hybrid {
		text = "versions 1 and 2"
	}
	if c.MemoryLimit > 0 {
		text += ", memory limit " + size.Human(c.MemoryLimit)
	}
	return text
}

// again are the commands that repeat the run.
func (e *evidence) again() []string {
	var words []string
	for _, word := range e.run.Argv {
		words = append(words, shellWord(word))
	}
	return []string{strings.Join(words, " "), "vmm compare report " + shellWord(e.dir)}
}

// method says how values came about and what is done with them.
var method = []string{
	"Every arm runs the same program in the same root directory: as it is, as a bundle, as an image, or as an initramfs.",
	"Times begin just before the arm's process is started and end at boundaries that all arms share. Inside a guest a boundary is a write to an I/O port, elsewhere a line with the host's monotonic clock: no boundary waits for a console.",
	"In each round all arms run once, in a new random order, so that what drifts on the host falls on all of them. A warm page cache means that the arm has just run; a cold one that its files, and if permitted all others, were dropped.",
	"Nothing is left out: outliers are in every figure. Intervals hold the true median in 95 of 100 such runs (percentile bootstrap, 4000 draws); with fewer than six samples there is none. A sample with two modes is marked (Hartigan's dip test, p < 0.01).",
	"A ratio is one of medians, with the interval that a bootstrap of both samples gives. There is none between values with different boundaries, page caches or hosts.",
	"The arm “null” is the instrument itself: a program of a few instructions that marks and ends. What its times have, all times have.",
}
