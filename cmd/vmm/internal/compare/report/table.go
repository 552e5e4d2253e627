package report

import (
	"cmp"
	"fmt"
	"maps"
	"math/bits"
	"slices"
	"strconv"
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
