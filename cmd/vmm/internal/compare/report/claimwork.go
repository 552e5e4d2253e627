package report

import (
	"fmt"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var workClaim = claim{
	"A process in a container equals a native one.",
	"How fast is work on processor and memory in each, against a plain process?",
	experiment.Work.Name, judgeWork,
}

// judgeWork asks of each container whether it is slower for certain, and of all
// together whether that can be excluded: of many intervals some reach beyond the limit by
// chance.
func judgeWork(e *evidence) answer {
	name := experiment.Work.Name
	native := e.first(arm.Process, name)
	a := answer{Verdict: yes}
	containers := make(map[string][]*group) // of each metric
	var metrics, slower, together []string
	unclear := false
	for _, g := range e.where(ofExperiment(name), e.of(arm.Container, arm.Engine)) {
		base := e.one(name, g.Metric, native)
		if base == nil {
			continue
		}
		r, err := pairedRatio(base, g) // of rates: the inverse of times
		if err != nil {
			continue
		}
		a.rest(g.Metric, g)
		if containers[g.Metric] == nil {
			metrics = append(metrics, g.Metric)
		}
		containers[g.Metric] = append(containers[g.Metric], g)
		if r.Low > equal {
			slower = append(slower, fmt.Sprintf("%s in %s, %v", g.Metric, g.label(), r))
		}
	}
	for _, metric := range metrics {
		r, err := pairedRatio(e.one(name, metric, native), meanOf(containers[metric]))
		if err != nil {
			unclear = true
			continue
		}
		together = append(together, fmt.Sprintf("%s, %v", metric, r))
		unclear = unclear || r.High > equal
	}
	switch {
	case len(a.Figures) == 0:
		return unmeasured("work of both a container and a plain process")
	case len(slower) > 0:
		a.Verdict = no
	case unclear:
		a.Verdict = undecided
		a.say("Nothing is slower for certain; more rounds would tell.")
	default:
		a.say("No work takes more than %.0f %% longer in containers.", 100*(equal-1))
	}
	a.list("Slower than in a plain %s: ", native, slower)
	a.list("Times what a plain %s takes, in containers together: ", native, together)
	return a
}
