package report

import (
	"fmt"
	"slices"
	"strings"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/host"
)

// What a claim's words mean in numbers.
const (
	minutes       = 60.0  // s, the least that is "minutes"
	containerTime = 0.050 // s, in which a container is said to start
	guestOS       = 700e6 // B, of a guest operating system
	sharing       = 0.05  // the part of the memory mapped from which on it is shared
	speedGone     = 2.0   // times as long, from which on the speed is gone
	crowd         = 3     // instances, of which it is said that they are too many
	equal         = 1.05  // times as long, up to which it is the same
)

// emulated says that absolute times of the run mean nothing.
func (d *data) emulated() bool { return d.run.Host.Reality() == host.Emulated }

func judgeStart(d *data) answer {
	fastest := func(kind arm.Kind) *group {
		return lowest(d.where(metric(experiment.Start.Name, experiment.StartTime), payloadTime, instances(0), d.of(kind)))
	}
	vm, container, engine := fastest(arm.VM), fastest(arm.Container), fastest(arm.Engine)
	if vm == nil || container == nil {
		return unmeasured("start of both a virtual machine and a container")
	}
	a := answer{Verdict: no}
	a.rest("spawn to payload", vm, container)
	if vm.median() >= minutes {
		a.Verdict = yes
		if d.emulated() {
			a.Verdict = undecided
		}
	}
	a.say("The fastest virtual machine, %s, runs the payload's first instruction %s after spawn, the fastest container, %s, after %s.",
		vm.label(), vm.short(), container.label(), container.short())
	a.compare(vm, container)
	if engine != nil {
		a.rest("spawn to payload", engine)
		a.say("With an engine, %s, a container takes %s.", engine.label(), engine.short())
	}
	switch {
	case d.emulated():
		a.say("The host is emulated, some tens of times slower than metal: what is fast enough here is so there too, and what is not, may be.")
	case container.median() > containerTime:
		a.say("No container starts in 50 ms on this host.")
	}
	return a
}

func judgeDisk(d *data) answer {
	vm := d.one(experiment.Disk.Name, experiment.DiskFiles, d.firstVM(experiment.Disk.Name))
	container := lowest(d.where(metric(experiment.Disk.Name, experiment.DiskFiles), d.of(arm.Container)))
	if vm == nil || container == nil {
		return unmeasured("size of both a virtual machine and a container")
	}
	a := answer{Verdict: userSpace}
	if vm.median() >= guestOS {
		a.Verdict = yes
	}
	a.rest("bytes to start from", vm, container)
	a.say("To run the payload, %s needs %s on disk, its kernel included, and %s needs %s.", vm.label(), vm.short(), container.label(), container.short())
	if more := d.one(experiment.Disk.Name, experiment.DiskInstance, vm.Arm); more != nil {
		a.rest("bytes that a further instance takes", more)
		a.say("A further virtual machine takes %s.", more.short())
	}
	if space := d.one(experiment.Disk.Name, experiment.DiskDistribution, experiment.DistributionArm); space != nil {
		a.rest("a user space", space)
		a.say("A distribution's user space takes %s, in a container's image as in a virtual machine's.", space.short())
	}
	return a
}

func judgeMemory(d *data) answer {
	grown := func(name string) *group {
		all := d.where(metric(experiment.Memory.Name, name), d.of(arm.VM), d.isArm(d.firstVM(experiment.Memory.Name)))
		if len(all) == 0 {
			return nil
		}
		return slices.MaxFunc(all, func(a, b *group) int { return a.Instances - b.Instances })
	}
	pss, rss := grown(experiment.MemoryPSS), grown(experiment.MemoryRSS)
	if pss == nil || rss == nil || pss.Instances != rss.Instances || pss.Instances < 2 {
		return unmeasured("memory of several virtual machines at once")
	}
	n := float64(pss.Instances)
	shared := 1 - pss.median()/rss.median()
	a := answer{Verdict: yes}
	if shared >= sharing {
		a.Verdict = partly
	}
	a.rest(fmt.Sprintf("proportional set size of %d", pss.Instances), pss)
	a.rest(fmt.Sprintf("resident set size of %d", rss.Instances), rss)
	a.say("Each of %d instances of %s costs %s of the host's memory: that is true.", pss.Instances, pss.label(), format(pss.Unit, pss.median()/n))
	if shared >= sharing {
		a.say("That they cannot share is false: of the %s that each maps, %.0f %% are shared.", format(rss.Unit, rss.median()/n), 100*shared)
	} else {
		a.say("Of the %s that each maps, only %.0f %% are shared.", format(rss.Unit, rss.median()/n), 100*shared)
	}
	container := lowest(d.where(metric(experiment.Memory.Name, experiment.MemoryPSS), d.of(arm.Container), instances(pss.Instances)))
	if container != nil {
		a.rest(fmt.Sprintf("proportional set size of %d", pss.Instances), container)
		a.say("A container (%s) costs %s.", container.label(), format(container.Unit, container.median()/n))
	}
	return a
}

func judgeDensity(d *data) answer {
	vm := d.firstVM(experiment.Density.Name)
	times := d.where(metric(experiment.Density.Name, experiment.DensityTime), d.isArm(vm))
	var first, crowded *group
	for _, g := range times {
		switch {
		case g.Instances == 1:
			first = g
		case g.Instances >= crowd && crowded == nil:
			crowded = &group{Key: g.Key}
			fallthrough
		case g.Instances >= crowd:
			crowded.values = append(crowded.values, g.values...)
		}
	}
	if first == nil || crowded == nil {
		return unmeasured(fmt.Sprintf("start of a virtual machine beside %d others", crowd-1))
	}
	a := answer{Verdict: no}
	a.rest("start of the first", first)
	a.Figures = append(a.Figures, figure{
		What: fmt.Sprintf("%s: start of number %d and beyond", vm, crowd), Value: crowded.estimate(), Samples: len(crowded.values),
		Trace: trace(compare.Key{Experiment: experiment.Density.Name, Metric: experiment.DensityTime, Arm: vm}),
	})
	slower := crowded.median() / first.median()
	if slower >= speedGone {
		a.Verdict = yes
	}
	a.say("With two or more others running, a start of %s takes %s, and %s alone: %s×.", vm, crowded.short(), first.short(), digits(slower))
	for _, g := range d.groups {
		if g.Experiment == experiment.Density.Name && g.Metric == experiment.DensityStop && len(g.texts) > 0 && slices.Contains([]arm.Kind{arm.VM, arm.Container}, d.kinds[g.Arm]) {
			reached := 0.0
			if len(g.values) > 0 {
				reached = g.median()
			}
			a.Figures = append(a.Figures, figure{What: g.label() + ": instances at once", Value: fmt.Sprintf("%.0f; then %s", reached, g.texts[0]), Samples: len(g.texts), Trace: trace(g.Key)})
		}
	}
	return a
}

func judgeRequest(d *data) answer {
	native, vm := d.first(arm.Process, experiment.Request.Name), d.firstVM(experiment.Request.Name)
	var a answer
	var delayed, equalTo, unclear []string
	for _, m := range []struct{ metric, name string }{
		{experiment.RequestSystemCall, "a system call"},
		{experiment.RequestPageFault, "a page fault"},
		{experiment.RequestRead, "a read of 4 KiB"},
		{experiment.RequestRoundTrip, "a message there and back"},
	} {
		base, guest := d.one(experiment.Request.Name, m.metric, native), d.one(experiment.Request.Name, m.metric, vm)
		if base == nil || guest == nil {
			continue
		}
		r, err := ratio(base, guest) // rates: the inverse of times
		if err != nil {
			continue
		}
		a.rest(m.metric, base, guest)
		text := fmt.Sprintf("%s (%s)", m.name, times(r))
		switch {
		case r.Low > equal:
			delayed = append(delayed, text)
		case r.High <= equal:
			equalTo = append(equalTo, text)
		default:
			unclear = append(unclear, text)
		}
	}
	if len(a.Figures) == 0 {
		return unmeasured("request of both a virtual machine and a plain process")
	}
	switch {
	case len(delayed) > 0 && len(equalTo) > 0:
		a.Verdict = partly
	case len(delayed) > 0:
		a.Verdict = yes
	case len(equalTo) > 0:
		a.Verdict = no
	default:
		a.Verdict = undecided
	}
	a.list("In %s these take longer than in a plain process: ", vm, delayed)
	a.list("In %s these take as long: ", vm, equalTo)
	a.list("In %s these are not known well enough: ", vm, unclear)
	return a
}

func judgeWork(d *data) answer {
	native := d.first(arm.Process, experiment.Work.Name)
	a := answer{Verdict: yes}
	var slower []string
	for _, g := range d.where(ofExperiment(experiment.Work.Name), d.of(arm.Container, arm.Engine)) {
		base := d.one(experiment.Work.Name, g.Metric, native)
		if base == nil {
			continue
		}
		r, err := ratio(base, g) // rates: the inverse of times
		if err != nil {
			continue
		}
		a.rest(g.Metric, g)
		switch {
		case r.Low > equal:
			slower = append(slower, fmt.Sprintf("%s in %s (%s)", g.Metric, g.label(), times(r)))
			a.Verdict = no
		case r.High > equal && a.Verdict == yes:
			a.Verdict = undecided
		}
	}
	switch {
	case len(a.Figures) == 0:
		return unmeasured("work of both a container and a plain process")
	case a.Verdict == yes:
		a.say("No work takes more than %.0f %% longer in any container.", 100*(equal-1))
	case a.Verdict == undecided:
		a.say("No work is slower for certain, but an interval reaches beyond %.0f %%: more rounds would tell.", 100*(equal-1))
	}
	a.list("Slower than in a plain %s: ", native, slower)
	return a
}

func judgeKernel(d *data) answer {
	var a answer
	said := make(map[arm.Kind][]string) // releases
	for _, g := range d.groups {
		if g.Experiment != experiment.Kernel.Name || g.Metric != experiment.KernelRelease || len(g.texts) == 0 {
			continue
		}
		kind := d.kinds[g.Arm]
		said[kind] = append(said[kind], g.texts[0])
		a.Figures = append(a.Figures, figure{What: g.label() + ": uname -r", Value: g.texts[0], Samples: len(g.texts), Trace: trace(g.Key)})
	}
	own := func(kind arm.Kind) bool {
		return slices.ContainsFunc(said[kind], func(release string) bool { return release != d.run.Host.Kernel })
	}
	if len(said[arm.Container]) == 0 || len(said[arm.VM]) == 0 {
		return unmeasured("kernel of both a virtual machine and a container")
	}
	a.Verdict = no
	if !own(arm.Container) && !own(arm.Engine) && own(arm.VM) {
		a.Verdict = yes
	}
	a.say("The host runs %s.", d.run.Host.Kernel)
	a.say("Containers say %s, virtual machines %s.", distinct(said[arm.Container]), distinct(said[arm.VM]))
	return a
}

func judgeIsolation(d *data) answer {
	name := experiment.Isolation.Name
	vm, container := d.firstVM(name), d.first(arm.Container, name)
	used, may := d.one(name, experiment.UsedForGuest, vm), d.one(name, experiment.HostCalls, vm)
	if used == nil && may == nil {
		return unmeasured("count of what a virtual machine leaves in reach")
	}
	a := answer{Verdict: yes}
	for _, g := range []*group{used, may} {
		if g != nil && g.median() > 0 {
			a.Verdict = no
		}
	}
	count := func(arm, metric string) string {
		g := d.one(name, metric, arm)
		if g == nil {
			return "an unknown number"
		}
		a.rest(metric, g)
		return g.short()
	}
	a.say("A payload in %s itself makes %s different system calls of the host's, but its monitor makes %s for it while the guest runs; whoever takes the monitor over may make %s, and has %s capabilities.",
		vm, count(vm, experiment.UsedByPayload), count(vm, experiment.UsedForGuest), count(vm, experiment.HostCalls), count(vm, experiment.HostCapabilities))
	if container != "" {
		a.say("A payload in %s makes %s, may make %s, and has %s capabilities.",
			container, count(container, experiment.UsedByPayload), count(container, experiment.HostCalls), count(container, experiment.HostCapabilities))
	}
	return a
}

func judgeReplication(d *data) answer {
	name := experiment.Replication.Name
	var a answer
	for _, arm := range []string{d.firstVM(name), d.first(arm.Container, name)} {
		copies, once := d.one(name, experiment.ReplicationRoot, arm), d.one(name, experiment.ReplicationRootOnce, arm)
		mapped, shared := d.one(name, experiment.ReplicationMapped, arm), d.one(name, experiment.ReplicationShared, arm)
		if copies == nil || once == nil || mapped == nil || shared == nil || once.median() == 0 {
			continue
		}
		n := copies.median() / once.median()
		if a.Verdict == "" { // of the virtual machine
			a.Verdict = no
			if n > 1+sharing {
				a.Verdict = yes
			}
		}
		a.rest("root directory's pages in memory", copies, once)
		a.rest("mapped, and shared of it", mapped, shared)
		a.say("%d instances of %s have %s copies of each page of the root directory that is in memory, and share %s of the %s that they map.",
			copies.Instances, arm, digits(n), shared.short(), mapped.short())
	}
	if a.Verdict == "" || d.firstVM(name) == "" {
		return unmeasured("count of a virtual machine's pages")
	}
	return a
}

// isArm is the condition that a group is of an arm.
func (d *data) isArm(name string) func(*group) bool {
	return func(g *group) bool { return g.Arm == name }
}

// first returns the first arm of a kind that the experiment has values of, "" if
// none.
func (d *data) first(kind arm.Kind, name string) string {
	if all := d.where(ofExperiment(name), d.of(kind)); len(all) > 0 {
		return all[0].Arm
	}
	return ""
}

// firstVM is ours, as arms are in the order in which vmm knows them.
func (d *data) firstVM(name string) string { return d.first(arm.VM, name) }

// one returns the arm's values of a metric, nil if it has none.
func (d *data) one(name, what, arm string) *group {
	if all := d.where(metric(name, what), d.isArm(arm)); len(all) > 0 {
		return all[0]
	}
	return nil
}

// short is the median alone.
func (g *group) short() string { return format(g.Unit, g.median()) }

// say adds a sentence.
func (a *answer) say(text string, args ...any) {
	a.Because = strings.TrimSpace(a.Because + " " + fmt.Sprintf(text, args...))
}

// list adds a sentence that ends in a list, unless that is empty.
func (a *answer) list(text, name string, all []string) {
	if len(all) > 0 {
		a.say(text+"%s.", name, strings.Join(all, ", "))
	}
}

// compare says how many times as much a is as b, or why that cannot be said.
func (a *answer) compare(x, y *group) {
	if r, err := ratio(x, y); err != nil {
		a.say("They cannot be compared: %v.", err)
	} else {
		a.say("That is %s as long.", times(r))
	}
}

// distinct joins different texts.
func distinct(all []string) string {
	return strings.Join(slices.Compact(slices.Sorted(slices.Values(all))), ", ")
}
