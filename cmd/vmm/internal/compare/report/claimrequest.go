package report

import (
	"fmt"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var requestClaim = claim{
	"Each request goes from the application through guest, hypervisor and host to the hardware, and that delays it.",
	"How long does a system call, a page fault, a read and a message take inside each?",
	experiment.Request.Name, judgeRequest,
}

// requests are those that the claim is judged by.
var requests = []struct{ metric, name string }{
	{experiment.RequestSystemCall, "a system call"},
	{experiment.RequestPageFault, "a page fault"},
	{experiment.RequestRead, "a read of 4 KiB"},
	{experiment.RequestRoundTrip, "a message there and back"},
}

func judgeRequest(e *evidence) answer {
	name := experiment.Request.Name
	native, vm := e.first(arm.Process, name), e.first(arm.VM, name)
	var a answer
	var delayed, same, unclear []string
	for _, m := range requests {
		base, guest := e.one(name, m.metric, native), e.one(name, m.metric, vm)
		if base == nil || guest == nil {
			continue
		}
		r, err := ratio(base, guest) // of rates: the inverse of times
		if err != nil {
			continue
		}
		a.rest(m.metric, base, guest)
		text := fmt.Sprintf("%s, %v", m.name, r)
		switch {
		case r.Low > equal:
			delayed = append(delayed, text)
		case r.High <= equal:
			same = append(same, text)
		default:
			unclear = append(unclear, text)
		}
	}
	if len(a.Figures) == 0 {
		return unmeasured("request of both a virtual machine and a plain process")
	}
	a.Verdict = verdictOn(len(delayed), len(same))
	a.list("In %s these take longer than in a plain process: ", vm, delayed)
	a.list("In %s these take no longer: ", vm, same)
	a.list("In %s these are not known well enough: ", vm, unclear)
	return a
}

// verdictOn is the verdict if a claim is true of so many things and false of so many.
func verdictOn(true, false int) verdict {
	switch {
	case true > 0 && false > 0:
		return partly
	case true > 0:
		return yes
	case false > 0:
		return no
	}
	return undecided
}
