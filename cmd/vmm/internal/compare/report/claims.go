package report

import (
	"fmt"
	"strings"
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

// A claim is one of the things that are said of virtual machines and containers.
type claim struct {
	Said, Asked string
	Experiment  string // whose values decide
	judge       func(*evidence) answer
}

// claims are all of them, in the usual order. Each is a file.
var claims = []claim{
	startClaim, diskClaim, memoryClaim, densityClaim, requestClaim, workClaim, kernelClaim, isolationClaim, replicationClaim,
}

// equal is up to how many times as long is the same.
const equal = 1.05

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
	Trace       string // the command that prints them
}

// An answered claim is one with the answer of a run.
type answered struct {
	claim
	answer
}

func (e *evidence) answers() []answered {
	var all []answered
	for _, c := range claims {
		all = append(all, answered{c, c.judge(e)})
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
		a.Figures = append(a.Figures, figure{g.label() + ": " + what, g.estimate(), len(g.values), trace(g.Key)})
	}
}

// say adds a sentence.
func (a *answer) say(text string, args ...any) {
	a.Because = strings.TrimSpace(a.Because + " " + fmt.Sprintf(text, args...))
}

// list adds a sentence that ends in a list, unless that is empty.
func (a *answer) list(text, name string, all []string) {
	if len(all) > 0 {
		a.say(text+"%s.", name, strings.Join(all, "; "))
	}
}
