package report

import (
	"slices"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var isolationClaim = claim{
	"Virtual machines isolate completely.",
	"What of the host is in reach of the payload, and of what runs it?",
	experiment.Isolation.Name, judgeIsolation,
}

func judgeIsolation(e *evidence) answer {
	name := experiment.Isolation.Name
	vm := e.first(arm.VM, name)
	reach := slices.Concat(
		e.where(metric(name, experiment.UsedForGuest), e.isArm(vm)),
		e.where(metric(name, experiment.HostCalls), e.isArm(vm)))
	if len(reach) == 0 {
		return unmeasured("count of what a virtual machine leaves in reach")
	}
	a := answer{Verdict: yes}
	if slices.ContainsFunc(reach, func(g *group) bool { return g.median() > 0 }) {
		a.Verdict = no
	}
	count := func(arm, metric string) string {
		g := e.one(name, metric, arm)
		if g == nil {
			return "an unknown number"
		}
		a.rest(metric, g)
		return g.short()
	}
	a.say("A payload in %s makes %s different system calls of the host's, but its monitor makes %s for it while the guest runs; whoever takes the monitor over may make %s, and has %s capabilities.",
		vm, count(vm, experiment.UsedByPayload), count(vm, experiment.UsedForGuest), count(vm, experiment.HostCalls), count(vm, experiment.HostCapabilities))
	for _, kind := range []arm.Kind{arm.Container, arm.Engine} {
		if c := e.first(kind, name); c != "" {
			a.say("A payload in %s makes %s, may make %s, and has %s capabilities.",
				c, count(c, experiment.UsedByPayload), count(c, experiment.HostCalls), count(c, experiment.HostCapabilities))
		}
	}
	return a
}
