package report

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/measure"
)

// A section is what an experiment has measured.
type section struct {
	Name, About string
	Tables      []table
}

// sections returns one for each experiment of the run.
func (e *evidence) sections() []section {
	var all []section
	for _, name := range e.run.Experiments {
		s := section{Name: name, About: about(name)}
		for _, tables := range []func(string) []table{e.distributions, e.stages, e.byInstances, e.amounts, e.words, e.failed} {
			s.Tables = append(s.Tables, tables(name)...)
		}
		if len(s.Tables) > 0 {
			all = append(all, s)
		}
	}
	return all
}

// about says what an experiment measures.
func about(name string) string {
	for _, e := range experiment.All {
		if e.Name == name {
			return e.About
		}
	}
	return ""
}

// distributions returns a table for each measurement of times and rates of one
// instance. Of boundaries, only the payload's first instruction and the exit are
// shown in so much detail.
func (e *evidence) distributions(name string) []table {
	var tables []table
	order, of := byMeasurement(e.where(ofExperiment(name), instances(0), not(amount)))
	for _, m := range order {
		if m.to == "" || m.to == compare.Payload || m.to == compare.Exit {
			tables = append(tables, distribution(m, of[m]))
		}
	}
	return tables
}

func distribution(m measurement, groups []*group) table {
	base := groups[0]
	t := table{
		Caption: m.String(),
		Head:    []string{"arm", "samples", "min", "median", "95 % interval", "p90", "p99", "max", "ratio to " + base.label()},
		Words:   1,
		Trace:   m.trace(),
	}
	for _, g := range groups {
		s := measure.Summarize(g.values)
		name, spread := g.label(), interval(m.unit, s.Low, s.High)
		if s.TwoModes {
			name += " ‡"
			t.note(fmt.Sprintf("‡ %s: two modes, and the median may lie between them (dip test, p = %.2g)", g.label(), s.OneModeP))
		}
		if measure.Sparse(s.N) {
			spread = "—"
			t.note("— fewer than six samples: no 95 % interval of the median exists")
		}
		t.Rows = append(t.Rows, []string{name, strconv.Itoa(s.N), format(m.unit, s.Min), format(m.unit, s.P50), spread,
			format(m.unit, s.P90), format(m.unit, s.P99), format(m.unit, s.Max), t.ratio(g, base)})
	}
	return t
}

// stages returns a table for each state of the page cache with the median time of
// each boundary.
func (e *evidence) stages(name string) []table {
	var tables []table
	for _, c := range []compare.Cache{compare.Warm, compare.Cold} {
		groups := e.where(ofExperiment(name), cache(c), instances(0), func(g *group) bool { return g.From == compare.Spawn })
		if len(groups) == 0 {
			continue
		}
		t := table{
			Caption: fmt.Sprintf("median time from spawn to each boundary, %s page cache", c),
			Words:   1,
			Trace:   trace(compare.Key{Experiment: name, From: compare.Spawn, Cache: c}),
		}
		fill(&t, "arm", groups, (*group).label, func(g *group) compare.Boundary { return g.To }, func(a, b compare.Boundary) int {
			return slices.Index(compare.Boundaries, a) - slices.Index(compare.Boundaries, b)
		})
		tables = append(tables, t)
	}
	return tables
}

// byInstances returns a table for each measurement against the number of
// instances. Amounts of one number of instances only are in one table.
func (e *evidence) byInstances(name string) []table {
	groups := e.where(ofExperiment(name), not(instances(0)))
	numbers := values(groups, func(g *group) int { return g.Instances })
	if len(numbers) == 1 && !slices.ContainsFunc(groups, not(amount)) {
		return amountsOf(groups, fmt.Sprintf("medians of amounts and numbers of %d instances", numbers[0]))
	}
	var tables []table
	order, of := byMeasurement(groups)
	for _, m := range order {
		t := table{Caption: m.String() + ", median by number of instances", Words: 1, Trace: m.trace()}
		fill(&t, "arm", t.thin(of[m]), (*group).label, func(g *group) int { return g.Instances }, cmp.Compare[int])
		tables = append(tables, t)
	}
	return tables
}

// amounts returns a table of all amounts and numbers of one instance.
func (e *evidence) amounts(name string) []table {
	return amountsOf(e.where(ofExperiment(name), instances(0), amount), "medians of amounts and numbers")
}

// amountsOf returns a table of groups, all of one experiment, an arm a column.
func amountsOf(groups []*group, caption string) []table {
	if len(groups) == 0 {
		return nil
	}
	t := table{Caption: caption, Words: 1, Trace: trace(compare.Key{Experiment: groups[0].Experiment})}
	fill(&t, "metric", groups, func(g *group) string { return g.measurement().String() }, (*group).label, nil)
	return []table{t}
}

// words returns a table of what arms said that is no number.
func (e *evidence) words(name string) []table {
	return e.counted(name, "what the arms say", "text", func(g *group) []string { return g.texts })
}

// failed returns a table of what could not be measured.
func (e *evidence) failed(name string) []table {
	return e.counted(name, "what failed", "reason", func(g *group) []string { return g.failures })
}

// counted returns a table of how often there was which text.
func (e *evidence) counted(name, caption, text string, of func(*group) []string) []table {
	t := table{Caption: caption, Head: []string{"arm", "metric", text, "times"}, Words: 3,
		Trace: trace(compare.Key{Experiment: name})}
	for _, g := range e.groups {
		if g.Experiment == name {
			t.count(g, of(g))
		}
	}
	return t.unlessEmpty()
}
