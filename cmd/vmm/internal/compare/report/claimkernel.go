package report

import (
	"slices"
	"strings"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var kernelClaim = claim{
	"A virtual machine can run another operating system or kernel; containers share the host's.",
	"Which kernel does the payload see?",
	experiment.Kernel.Name, judgeKernel,
}

func judgeKernel(e *evidence) answer {
	var a answer
	releases := make(map[arm.Kind][]string)
	for _, g := range e.groups {
		if metric(experiment.Kernel.Name, experiment.KernelRelease)(g) && len(g.texts) > 0 {
			kind := e.kinds[g.Arm]
			releases[kind] = append(releases[kind], g.texts[0])
			a.Figures = append(a.Figures, figure{g.label() + ": uname -r", g.texts[0], len(g.texts), trace(g.Key)})
		}
	}
	containers := slices.Concat(releases[arm.Container], releases[arm.Engine])
	machines := releases[arm.VM]
	if len(containers) == 0 || len(machines) == 0 {
		return unmeasured("kernel of both a virtual machine and a container")
	}
	another := func(release string) bool { return release != e.run.Host.Kernel }
	a.Verdict = no
	if slices.ContainsFunc(machines, another) && !slices.ContainsFunc(containers, another) {
		a.Verdict = yes
	}
	a.say("The host runs %s. Containers say %s, virtual machines %s.", e.run.Host.Kernel, distinct(containers), distinct(machines))
	if own := releases[arm.Sandbox]; len(own) > 0 {
		a.say("A sandbox whose kernel is a program, which is neither, says %s.", distinct(own))
	}
	for _, g := range e.where(metric(experiment.Kernel.Name, experiment.KernelsAtOnce)) {
		a.rest("kernels at once", g)
		a.say("With %d arms running at the same time there were %s kernels.", g.Instances, g.short())
	}
	return a
}

// distinct joins different texts.
func distinct(all []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(all))), ", ")
}
