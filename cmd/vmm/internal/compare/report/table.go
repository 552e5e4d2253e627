package report

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/measure"
)

// A table is one in any of the report's forms.
type table struct {
	Caption string
	Head    []string
	Rows    [][]string
	Words   int // how many columns on the left are words; the others are numbers
	Notes   []string
	Trace   string // the command that selects the raw samples
}

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

// A measurement is a key but for the arm, the host and the number of instances:
// what a table has.
type measurement struct {
	experiment, metric string
	unit               compare.Unit
	from, to           compare.Boundary
	cache              compare.Cache
}

func (g *group) measurement() measurement {
	return measurement{g.Experiment, g.Metric, g.Unit, g.From, g.To, g.Cache}
}

func (m measurement) String() string {
	text := m.metric
	if meaning := meanings[m.experiment][m.metric]; meaning != "" {
		text = meaning + " (" + m.metric + ")"
	}
	if m.to != "" {
		text += fmt.Sprintf(" from %s to %s", m.from, m.to)
	}
	if m.cache != "" {
		text += fmt.Sprintf(", %s page cache", m.cache)
	}
	return text
}

func (m measurement) trace() string {
	return trace(compare.Key{Experiment: m.experiment, Metric: m.metric, From: m.from, To: m.to, Cache: m.cache})
}

// byMeasurement sorts groups into those of one table, in the order of the first
// of each.
func byMeasurement(groups []*group) (order []measurement, of map[measurement][]*group) {
	of = make(map[measurement][]*group)
	for _, g := range groups {
		m := g.measurement()
		if of[m] == nil {
			order = append(order, m)
		}
		of[m] = append(of[m], g)
	}
	return order, of
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

// ratio is the cell that compares a group to the table's first, or a note why
// there is none.
func (t *table) ratio(g, base *group) string {
	if g == base {
		return "1×"
	}
	r, err := ratio(g, base)
	if err != nil {
		t.note("no ratio: " + err.Error())
		return "no ratio"
	}
	return r.String()
}

func (t *table) note(text string) {
	if !slices.Contains(t.Notes, text) {
		t.Notes = append(t.Notes, text)
	}
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
	if numbers := values(groups, func(g *group) int { return g.Instances }); len(numbers) == 1 && len(groups) == len(e.where(ofExperiment(name), instances(numbers[0]), amount)) {
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

// maxColumns is how many numbers of instances fit beside each other.
const maxColumns = 9

// thin leaves out numbers of instances but powers of two and the largest, if there
// are too many for a table.
func (t *table) thin(groups []*group) []*group {
	numbers := values(groups, func(g *group) int { return g.Instances })
	if len(numbers) <= maxColumns {
		return groups
	}
	t.note("numbers between the powers of two are in the raw samples")
	most := slices.Max(numbers)
	return slices.DeleteFunc(slices.Clone(groups), func(g *group) bool {
		return g.Instances != most && bits.OnesCount(uint(g.Instances)) != 1
	})
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

// fill makes of groups the cells of a table, with a row for each value of row and a
// column for each of column: in the order in which they come first, columns in
// that of order if it is not nil.
func fill[R, C comparable](t *table, corner string, groups []*group, row func(*group) R, column func(*group) C, order func(a, b C) int) {
	rows, columns := values(groups, row), values(groups, column)
	if order != nil {
		slices.SortFunc(columns, order)
	}
	type place struct {
		row    R
		column C
	}
	cells := make(map[place]string)
	for _, g := range groups {
		cells[place{row(g), column(g)}] = format(g.Unit, g.median())
	}
	t.Head = []string{corner}
	for _, c := range columns {
		t.Head = append(t.Head, fmt.Sprint(c))
	}
	for _, r := range rows {
		line := []string{fmt.Sprint(r)}
		for _, c := range columns {
			cell := cells[place{r, c}]
			if cell == "" {
				cell = "·"
				t.note("· not measured, or not shown by this arm")
			}
			line = append(line, cell)
		}
		t.Rows = append(t.Rows, line)
	}
}

// values returns the different values of f.
func values[V comparable](groups []*group, f func(*group) V) []V {
	var all []V
	for _, g := range groups {
		if v := f(g); !slices.Contains(all, v) {
			all = append(all, v)
		}
	}
	return all
}

// words returns a table of what arms said that is no number.
func (e *evidence) words(name string) []table {
	t := table{Caption: "what the arms say", Head: []string{"arm", "metric", "text", "times"}, Words: 3,
		Trace: trace(compare.Key{Experiment: name})}
	for _, g := range e.groups {
		if g.Experiment == name {
			t.count(g, g.texts)
		}
	}
	return t.unlessEmpty()
}

// failed returns a table of what could not be measured.
func (e *evidence) failed(name string) []table {
	t := table{Caption: "what failed", Head: []string{"arm", "metric", "reason", "times"}, Words: 3,
		Trace: trace(compare.Key{Experiment: name})}
	for _, g := range e.groups {
		if g.Experiment == name {
			t.count(g, g.failures)
		}
	}
	return t.unlessEmpty()
}

// count adds a row for each different text with how often it occurs.
func (t *table) count(g *group, texts []string) {
	number := make(map[string]int)
	for _, text := range texts {
		number[text]++
	}
	for _, text := range slices.Sorted(maps.Keys(number)) {
		t.Rows = append(t.Rows, []string{g.label(), g.measurement().String(), cmp.Or(text, "none"), strconv.Itoa(number[text])})
	}
}

func (t *table) unlessEmpty() []table {
	if len(t.Rows) == 0 {
		return nil
	}
	return []table{*t}
}
