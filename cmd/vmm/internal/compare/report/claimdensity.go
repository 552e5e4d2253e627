package report

import (
	"fmt"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var densityClaim = claim{
	"From one virtual machine to three the speed is gone; thousands of containers do not make the host blink.",
	"How long does a start take while N others run, and what is the limit?",
	experiment.Density.Name, judgeDensity,
}

const (
	crowd     = 3   // instances, which are said to be too many
	speedGone = 2.0 // times as long, from which on the speed is gone
)

func judgeDensity(e *evidence) answer {
	name := experiment.Density.Name
	vm := e.first(arm.VM, name)
	alone, crowded := e.startsBeside(vm)
	if alone == nil || crowded == nil {
		return unmeasured(fmt.Sprintf("start of a virtual machine beside %d others", crowd-1))
	}
	r, err := ratioOf(crowded, alone)
	if err != nil {
		return unmeasured("start that takes time: " + err.Error())
	}
	a := answer{Verdict: undecided}
	switch {
	case r.High < speedGone:
		a.Verdict = no
	case r.Low >= speedGone:
		a.Verdict = yes
	}
	a.rest("start of the first", alone)
	a.Figures = append(a.Figures, figure{fmt.Sprintf("%s: start of number %d and beyond", vm, crowd), crowded.estimate(), len(crowded.values),
		trace(compare.Key{Experiment: name, Metric: experiment.DensityTime, Arm: vm})})
	a.say("With two or more others running, a start of %s takes %s, alone %s: %v.", vm, crowded.short(), alone.short(), r)
	for _, g := range e.where(metric(name, experiment.DensityStop), e.of(arm.VM, arm.Container)) {
		if len(g.texts) > 0 {
			a.Figures = append(a.Figures, figure{g.label() + ": instances at once", g.short() + ", then " + g.texts[0], len(g.values), trace(g.Key)})
		}
	}
	return a
}

// startsBeside returns the times of an arm's starts with no other instance, and with
// a crowd, nil if there are none.
func (e *evidence) startsBeside(name string) (alone, crowded *group) {
	for _, g := range e.where(metric(experiment.Density.Name, experiment.DensityTime), e.isArm(name)) {
		switch {
		case g.Instances == 1:
			alone = g
		case g.Instances >= crowd && crowded == nil:
			crowded = &group{Key: g.Key}
			fallthrough
		case g.Instances >= crowd:
			crowded.values = append(crowded.values, g.values...)
		}
	}
	return alone, crowded
}
