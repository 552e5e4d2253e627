package report

import (
	"microvm/cmd/vmm/internal/compare"
)

// A verdict is what measuring says of a claim.
type verdict string

const (
	yes       verdict = "true"
	no        verdict = "false"
	partly    verdict = "partly true"
	userSpace verdict = "true of the distribution's user space, not of the VM"
	undecided verdict = "undecided"
)

// Class is the verdict as a word of a style sheet.
func (v verdict) Class() string {
	switch v {
	case yes:
		return "true"
	case no:
		return "false"
	case undecided:
		return "undecided"
	}
	return "partly"
}

// A claim is one of the things that are said, with the answer of this run.
type claim struct {
	Said, Asked string
	Experiment  string // that asks it
	answer
}

// An answer is a verdict and what it rests on.
type answer struct {
	Verdict verdict
	Because string
	Figures []figure
}

// A figure is a value that a verdict rests on.
type figure struct {
	What, Value string
	Samples     int
	Trace       string
}

// claims are those that are said everywhere, in the usual order, and how each is
// judged.
var claims = []struct {
	said, asked string
	experiment  string
	judge       func(*data) answer
}{
	{"A virtual machine starts in minutes, a container in 50 ms, or in seconds.",
		"How long is it from spawn to the payload's first instruction?", "start", judgeStart},
	{"A guest operating system is about 700 MB, three are 2.1 GB; images of virtual machines are gigabytes, those of containers tens of megabytes.",
		"How many bytes on disk does each need to run the same payload?", "disk", judgeDisk},
	{"Virtual machines cannot share the resources of a guest operating system; each costs memory of the host.",
		"How much memory do N instances take, and how much of it do they share?", "memory", judgeMemory},
	{"From one virtual machine to three the speed is gone; thousands of containers do not make the host blink.",
		"How long does a start take while N others run, and what is the limit?", "density", judgeDensity},
	{"Each request goes from the application through guest, hypervisor and host to the hardware, and that delays it.",
		"How long does a system call, a page fault, a read and a message take inside each?", "request", judgeRequest},
	{"A process in a container equals a native one.",
		"How fast is work on processor and memory in each, against a plain process?", "work", judgeWork},
	{"A virtual machine can run another operating system or kernel; containers share the host's.",
		"Which kernel does the payload see?", "kernel", judgeKernel},
	{"Virtual machines isolate completely.",
		"What of the host is in reach of the payload, and of what runs it?", "isolation", judgeIsolation},
	{"Every guest has copies of binaries and libraries of its own.",
		"How many bytes are the same across instances, on disk and in memory?", "replication", judgeReplication},
}

func (d *data) claims() []claim {
	var all []claim
	for _, c := range claims {
		all = append(all, claim{c.said, c.asked, c.experiment, c.judge(d)})
	}
	return all
}

// unmeasured is the answer if the values that it takes are not there.
func unmeasured(what string) answer {
	return answer{Verdict: undecided, Because: "This run has no " + what + "."}
}

// rest adds groups to the values that the answer rests on.
func (a *answer) rest(what string, groups ...*group) {
	for _, g := range groups {
		a.Figures = append(a.Figures, figure{
			What: g.label() + ": " + what, Value: g.estimate(), Samples: len(g.values), Trace: trace(g.Key),
		})
	}
}

// payloadTime is the condition that a group has times from spawn to the payload's
// first instruction with a warm page cache.
func payloadTime(g *group) bool {
	return between(compare.Spawn, compare.Payload)(g) && g.Cache != compare.Cold
}
