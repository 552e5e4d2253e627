package report

import (
	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var startClaim = claim{
	"A virtual machine starts in minutes, a container in 50 ms, or in seconds.",
	"How long is it from spawn to the payload's first instruction?",
	experiment.Start.Name, judgeStart,
}

// What the claim's words are in seconds.
const (
	minutes       = 60.0  // the least that is "minutes"
	containerTime = 0.050 // in which a container is said to start
)

func judgeStart(e *evidence) answer {
	fastest := func(kind arm.Kind) *group {
		return lowest(e.where(metric(experiment.Start.Name, experiment.StartTime), payloadTime, instances(0), e.of(kind)))
	}
	vm, container, engine := fastest(arm.VM), fastest(arm.Container), fastest(arm.Engine)
	if vm == nil || container == nil {
		return unmeasured("start of both a virtual machine and a container")
	}
	a := answer{Verdict: no}
	switch {
	case vm.median() >= minutes && e.emulated():
		a.Verdict = undecided
	case vm.median() >= minutes:
		a.Verdict = yes
	}
	a.rest("spawn to payload", vm, container)
	a.say("The fastest virtual machine, %s, runs the payload's first instruction %s after spawn, the fastest container, %s, after %s.",
		vm.label(), vm.short(), container.label(), container.short())
	if r, err := ratio(vm, container); err != nil {
		a.say("They cannot be compared: %v.", err)
	} else {
		a.say("That is %v as long.", r)
	}
	if engine != nil {
		a.rest("spawn to payload", engine)
		a.say("With an engine, %s, a container takes %s.", engine.label(), engine.short())
	}
	switch {
	case e.emulated():
		a.say("The host is emulated, some tens of times slower than metal: what is fast enough here is so there too, and what is not, may be.")
	case container.median() > containerTime:
		a.say("No container starts in 50 ms on this host.")
	}
	return a
}

// payloadTime is the condition that a group has times from spawn to the payload's
// first instruction with a warm page cache.
func payloadTime(g *group) bool {
	return between(compare.Spawn, compare.Payload)(g) && g.Cache != compare.Cold
}
