package report

import (
	"fmt"
	"slices"

	"microvm/cmd/vmm/internal/compare"
)

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

// caches are the states of the page cache in the order of tables.
var caches = []compare.Cache{"", compare.Warm, compare.Cold}

// byMeasurement sorts groups into those of one table, in the order of the first
// of each, but those of a warm page cache before those of a cold one.
func byMeasurement(groups []*group) (order []measurement, of map[measurement][]*group) {
	of = make(map[measurement][]*group)
	for _, g := range groups {
		m := g.measurement()
		if of[m] == nil {
			order = append(order, m)
		}
		of[m] = append(of[m], g)
	}
	slices.SortStableFunc(order, func(a, b measurement) int {
		return slices.Index(caches, a.cache) - slices.Index(caches, b.cache)
	})
	return order, of
}
