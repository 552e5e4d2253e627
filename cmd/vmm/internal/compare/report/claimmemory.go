package report

import (
	"cmp"
	"fmt"
	"slices"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var memoryClaim = claim{
	"Virtual machines cannot share the resources of a guest operating system; each costs memory of the host.",
	"How much memory do N instances take, and how much of it do they share?",
	experiment.Memory.Name, judgeMemory,
}

// sharing is the part of what instances map from which on they share it.
const sharing = 0.05

func judgeMemory(e *evidence) answer {
	name := experiment.Memory.Name
	vm := e.first(arm.VM, name)
	most := func(metrics string) *group {
		all := e.where(metric(name, metrics), e.isArm(vm))
		if len(all) == 0 {
			return nil
		}
		return slices.MaxFunc(all, func(a, b *group) int { return cmp.Compare(a.Instances, b.Instances) })
	}
	pss, rss := most(experiment.MemoryPSS), most(experiment.MemoryRSS)
	if pss == nil || rss == nil || pss.Instances != rss.Instances || pss.Instances < 2 {
		return unmeasured("memory of several virtual machines at once")
	}
	a := answer{Verdict: yes}
	a.rest(fmt.Sprintf("proportional set size of %d", pss.Instances), pss)
	a.rest(fmt.Sprintf("resident set size of %d", rss.Instances), rss)
	each, mapped := pss.median()/float64(pss.Instances), rss.median()/float64(rss.Instances)
	a.say("Each of %d instances of %s costs %s of the host's memory: that is true.", pss.Instances, vm, format(pss.Unit, each))
	if shared := 1 - each/mapped; shared >= sharing {
		a.Verdict = partly
		a.say("That they cannot share is not: of the %s that each maps, %.0f %% are shared.", format(rss.Unit, mapped), 100*shared)
	} else {
		a.say("Of the %s that each maps, only %.0f %% are shared.", format(rss.Unit, mapped), 100*shared)
	}
	if c := lowest(e.where(metric(name, experiment.MemoryPSS), e.of(arm.Container), instances(pss.Instances))); c != nil {
		a.rest(fmt.Sprintf("proportional set size of %d", c.Instances), c)
		a.say("A container (%s) costs %s.", c.label(), format(c.Unit, c.median()/float64(c.Instances)))
	}
	return a
}
