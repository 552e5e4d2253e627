package session

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// continuedBy returns nil if samples of next may follow those of r. Otherwise it
// says what differs.
func (r *Run) continuedBy(next *Run) error {
	var errs []error
	differ := func(what string, then, now any) {
		if a, b := asText(then), asText(now); a != b {
			errs = append(errs, fmt.Errorf("%s: %s then, %s now", what, a, b))
		}
	}
	differ("version of vmm", r.VMM, next.VMM)
	differ("effort", r.Effort, next.Effort)
	differ("experiments", r.Experiments, next.Experiments)
	differ("payload", r.Payload, next.Payload)
	differ("guest memory", r.Memory, next.Memory)
	if next.Seed != 0 {
		differ("seed", r.Seed, next.Seed)
	}
	differ("arms", armVersions(r.Arms), armVersions(next.Arms))
	errs = append(errs, inputsDiffer(r.Inputs, next.Inputs)...)
	if r.Digest != next.Digest {
		errs = append(errs, errors.New("host: another, or another state of it; compare the \"host\" in "+runFile+" with vmm doctor --json"))
	}
	return errors.Join(errs...)
}

// armVersions are the arms that are there, with their versions.
func armVersions(arms []Arm) []string {
	var there []string
	for _, a := range arms {
		if a.Version != "" {
			there = append(there, a.Name+" "+a.Version)
		}
	}
	return there
}

// inputsDiffer says which inputs are not the same files.
func inputsDiffer(then, now []Input) []error {
	var errs []error
	named := func(in []Input, name string) (Input, bool) {
		i := slices.IndexFunc(in, func(i Input) bool { return i.Name == name })
		if i < 0 {
			return Input{}, false
		}
		return in[i], true
	}
	for _, n := range now {
		t, ok := named(then, n.Name)
		switch {
		case !ok:
			errs = append(errs, fmt.Errorf("%s: none then, %s now", n.Name, n.Path))
		case t.SHA256 != n.SHA256:
			errs = append(errs, fmt.Errorf("%s: %s has changed since, or was %s", n.Name, n.Path, t.Path))
		}
	}
	for _, t := range then {
		if _, ok := named(now, t.Name); !ok {
			errs = append(errs, fmt.Errorf("%s: %s then, none now", t.Name, t.Path))
		}
	}
	return errs
}

func asText(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // of a Run's own fields
	}
	return string(text)
}
