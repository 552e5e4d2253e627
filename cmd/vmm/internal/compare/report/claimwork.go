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

func judgeWork(e *evidence) answer {
	name := experiment.Work.Name
	native := e.first(arm.Process, name)
	a := answer{Verdict: yes}
	var slower, unclear []string
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
		text := fmt.Sprintf("%s in %s, %v", g.Metric, g.label(), r)
		switch {
		case r.Low > equal:
			slower = append(slower, text)
		case r.High > equal:
			unclear = append(unclear, text)
		}
	}
	switch {
	case len(a.Figures) == 0:
		return unmeasured("work of both a container and a plain process")
	case len(slower) > 0:
		a.Verdict = no
	case len(unclear) > 0:
		a.Verdict = undecided
		a.say("Nothing is slower for certain; more rounds would tell.")
	default:
		a.say("No work takes more than %.0f %% longer in any container.", 100*(equal-1))
	}
	a.list("Slower than in a plain %s: ", native, slower)
	a.list("Perhaps slower than in a plain %s: ", native, unclear)
	return a
}
