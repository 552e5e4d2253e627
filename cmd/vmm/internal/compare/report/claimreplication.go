package report

import (
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var replicationClaim = claim{
	"Every guest has copies of binaries and libraries of its own.",
	"How many bytes are the same across instances, on disk and in memory?",
	experiment.Replication.Name, judgeReplication,
}

func judgeReplication(e *evidence) answer {
	name := experiment.Replication.Name
	var a answer
	machines, ok := a.copies(e, e.first(arm.VM, name))
	if !ok {
		return unmeasured("count of a virtual machine's pages")
	}
	a.Verdict = no
	if machines > 1+sharing {
		a.Verdict = yes
	}
	a.copies(e, e.first(arm.Container, name))
	return a
}

// copies says how often an arm's instances have a page of the root directory in
// memory, if that was counted.
func (a *answer) copies(e *evidence, arm string) (n float64, ok bool) {
	name := experiment.Replication.Name
	pages, once := e.one(name, experiment.ReplicationRoot, arm), e.one(name, experiment.ReplicationRootOnce, arm)
	mapped, shared := e.one(name, experiment.ReplicationMapped, arm), e.one(name, experiment.ReplicationShared, arm)
	if pages == nil || once == nil || mapped == nil || shared == nil || once.median() == 0 {
		return 0, false
	}
	n = pages.median() / once.median()
	a.rest("pages of the root directory in memory", pages)
	a.rest("different ones of these", once)
	a.rest("pages mapped", mapped)
	a.rest("pages that several instances share", shared)
	a.say("%d instances of %s have each page of the root directory that is in memory %s×, and share %s of the %s that they map.",
		pages.Instances, arm, digits(n), shared.short(), mapped.short())
	return n, true
}
