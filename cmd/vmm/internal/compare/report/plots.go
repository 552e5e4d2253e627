package report

import (
	"fmt"
	"html/template"
	"slices"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

// plots draws all plots for which there are values.
func (e *evidence) plots() ([]plot, error) {
	var all []plot
	for _, plan := range []func() (*plot, *picture, int){e.stagePlot, e.startPlot, e.memoryPlot, e.densityPlot} {
		p, picture, height := plan()
		if p == nil {
			continue
		}
		picture.mark = e.mark()
		for _, size := range []struct {
			html  *template.HTML
			width int
			id    string
		}{{&p.Wide, wideWidth, p.ID + "-wide"}, {&p.Narrow, narrowWidth, p.ID + "-narrow"}} {
			var err error
			if *size.html, err = picture.draw(size.width, height, size.id, p.Title, p.Desc); err != nil {
				return nil, err
			}
		}
		all = append(all, *p)
	}
	return all, nil
}

// stageText says what has come about when a stage ends.
var stageText = map[compare.Boundary]string{
	compare.Ready:       "runtime or monitor is ready",
	compare.GuestStart:  "the guest runs",
	compare.KernelEntry: "its kernel is entered",
	compare.Init:        "its process 1 begins",
	compare.Payload:     "the payload's first instruction",
}

// stagePlot has a bar for each arm, of the median times between boundaries.
func (e *evidence) stagePlot() (*plot, *picture, int) {
	groups := e.where(metric(experiment.Start.Name, experiment.StartTime), not(cache(compare.Cold)), func(g *group) bool {
		return g.From == compare.Spawn && !g.strange && stageText[g.To] != ""
	})
	reached := make(map[string]map[compare.Boundary]float64)
	var arms []string
	for _, g := range groups {
		if reached[g.Arm] == nil {
			reached[g.Arm] = make(map[compare.Boundary]float64)
			arms = append(arms, g.Arm)
		}
		reached[g.Arm][g.To] = g.median()
	}
	arms = slices.DeleteFunc(arms, func(arm string) bool { return reached[arm][compare.Payload] == 0 })
	if len(arms) == 0 {
		return nil, nil, 0
	}
	picture := &picture{rows: arms, y: rowAxis(len(arms))}
	used := make(map[compare.Boundary]bool)
	var ends []float64
	for i, arm := range arms {
		from, y := 0.0, rowAt(i, len(arms))
		for _, b := range compare.Boundaries {
			if to, ok := reached[arm][b]; ok && to >= from {
				picture.lines = append(picture.lines, line{class: "bar stage-" + string(b), x: []float64{from, to}, y: []float64{y, y}})
				from, used[b] = to, true
			}
		}
		ends = append(ends, from)
		picture.labels = append(picture.labels, label{"end", format(compare.Seconds, from), "", from, y})
	}
	picture.x = linearAxis("median time since spawn", compare.Seconds, ends, 5)
	p := &plot{ID: "stages", Title: "Where the time of a start goes", LegendOf: "time until",
		Desc:  fmt.Sprintf("Bars of the median time from spawn to the payload's first instruction, warm page cache. A stage ends when what the legend says has come about; where an arm does not show that, its time is in the next stage. %s", inWords(picture.labels, arms)),
		Trace: trace(compare.Key{Experiment: experiment.Start.Name, Metric: experiment.StartTime, From: compare.Spawn})}
	for _, b := range compare.Boundaries {
		if used[b] {
			p.Legend = append(p.Legend, legend{"stage-" + string(b), stageText[b]})
		}
	}
	return p, picture, rowHeight*len(arms) + 80
}

// inWords says what the labels of a plot say.
func inWords(labels []label, arms []string) string {
	text := ""
	for i, l := range labels {
		text += fmt.Sprintf("%s: %s. ", arms[i], l.text)
	}
	return text
}

// startPlot has the distribution function of each arm's start times.
func (e *evidence) startPlot() (*plot, *picture, int) {
	groups := e.where(metric(experiment.Start.Name, experiment.StartTime), payloadTime, func(g *group) bool { return !g.strange })
	if len(groups) == 0 {
		return nil, nil, 0
	}
	picture := &picture{y: axis{name: "share of starts, %", unit: compare.Count, high: 100, ticks: []float64{0, 25, 50, 75, 100}}}
	var all []float64
	for _, g := range groups {
		all = append(all, g.values...)
	}
	picture.x = newAxis("time from spawn to payload", compare.Seconds, all, 8)
	dashes := e.dashes(groups)
	slices.SortFunc(groups, func(a, b *group) int { return int(1e9 * (a.median() - b.median())) })
	for i, g := range groups {
		l := line{class: e.class(g), dash: dashes[g]}
		sorted := slices.Sorted(slices.Values(g.values))
		for j, v := range sorted {
			l.x = append(l.x, v, v)
			l.y = append(l.y, 100*float64(j)/float64(len(sorted)), 100*float64(j+1)/float64(len(sorted)))
		}
		picture.lines = append(picture.lines, l)
		// The names stand at different heights, so that they do not meet.
		at := 1 - (float64(i)+0.5)/float64(len(groups))
		x := sorted[min(int(at*float64(len(sorted))), len(sorted)-1)]
		picture.labels = append(picture.labels, label{e.class(g), g.Arm, "", x, 100 * at})
	}
	return &plot{ID: "starts", Title: "How start times are distributed",
		Desc:   "For each arm the share of starts that took no longer than the time on the axis, warm page cache. A steep line is a start that always takes the same time, one with a step between two steep parts has two modes.",
		Legend: e.kindLegend(groups), Trace: groups[0].measurement().trace()}, picture, 440
}

// memoryPlot has the memory of instances against their number.
func (e *evidence) memoryPlot() (*plot, *picture, int) {
	groups := e.where(metric(experiment.Memory.Name, experiment.MemoryPSS), func(g *group) bool { return !g.strange })
	return e.growth(groups, plot{ID: "memory", Title: "Memory against the number of instances",
		Desc: "For each arm the proportional set size of all processes of all instances, against the number of instances."},
		"proportional set size of all instances")
}

// densityPlot has the start time of an instance against the number of those that run.
func (e *evidence) densityPlot() (*plot, *picture, int) {
	groups := e.where(metric(experiment.Density.Name, experiment.DensityTime), func(g *group) bool { return !g.strange })
	return e.growth(groups, plot{ID: "density", Title: "Start time against the number of instances",
		Desc: "For each arm the time from spawn to the payload of the last instance, against the number of instances with it."},
		"time from spawn to payload")
}

// growth plots medians against the number of instances.
func (e *evidence) growth(groups []*group, p plot, yName string) (*plot, *picture, int) {
	if len(groups) == 0 {
		return nil, nil, 0
	}
	byArm := make(map[string][]*group)
	var arms []string
	var xs, ys []float64
	for _, g := range groups {
		if byArm[g.Arm] == nil {
			arms = append(arms, g.Arm)
		}
		byArm[g.Arm] = append(byArm[g.Arm], g)
		xs, ys = append(xs, float64(g.Instances)), append(ys, g.median())
	}
	picture := &picture{aside: true, x: linearAxis("instances", compare.Count, xs, 8),
		y: newAxis(yName, groups[0].Unit, ys, 8)}
	dashes := e.dashes(groups)
	for _, arm := range arms {
		of := byArm[arm]
		slices.SortFunc(of, func(a, b *group) int { return a.Instances - b.Instances })
		l := line{class: e.class(of[0]), dash: dashes[of[0]], dots: true}
		for _, g := range of {
			l.x, l.y = append(l.x, float64(g.Instances)), append(l.y, g.median())
		}
		picture.lines = append(picture.lines, l)
		last := of[len(of)-1]
		picture.labels = append(picture.labels, label{e.class(last), arm, last.short(), float64(last.Instances), last.median()})
	}
	p.Legend, p.Trace = e.kindLegend(groups), groups[0].measurement().trace()
	return &p, picture, 440
}

// class is the colour of an arm: that of its kind.
func (e *evidence) class(g *group) string {
	switch kind := e.kinds[g.Arm]; kind {
	case arm.Process, arm.Container, arm.Engine, arm.Sandbox, arm.VM:
		return "kind-" + string(kind)
	}
	return "kind-null"
}

// dashes tell the arms of a kind apart.
func (e *evidence) dashes(groups []*group) map[*group][]float64 {
	patterns := [][]float64{nil, {6, 3}, {2, 3}, {9, 3, 2, 3}, {12, 4}, {1, 2}}
	arms := make(map[string]map[string]int) // of a class, in their order
	dashes := make(map[*group][]float64)
	for _, g := range groups {
		class := e.class(g)
		if arms[class] == nil {
			arms[class] = make(map[string]int)
		}
		if _, known := arms[class][g.Arm]; !known {
			arms[class][g.Arm] = len(arms[class])
		}
		dashes[g] = patterns[arms[class][g.Arm]%len(patterns)]
	}
	return dashes
}

// kindNames are the kinds in words, in the order of legends.
var kindNames = []struct {
	kind arm.Kind
	name string
}{{arm.Process, "process"}, {arm.Container, "container"}, {arm.Engine, "container engine"}, {arm.Sandbox, "kernel in user space"}, {arm.VM, "virtual machine"}}

// kindLegend says what the colours of the groups mean.
func (e *evidence) kindLegend(groups []*group) []legend {
	var all []legend
	for _, k := range kindNames {
		if slices.ContainsFunc(groups, e.of(k.kind)) {
			all = append(all, legend{"kind-" + string(k.kind), k.name})
		}
	}
	if slices.ContainsFunc(groups, func(g *group) bool { return g.Arm == experiment.NullArm }) {
		all = append(all, legend{"kind-null", "the instrument alone"})
	}
	return all
}
