// Package armtest has arms for tests: shell scripts that take set times, fail,
// hang or print garbage.
package armtest

import (
	"context"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
)

// A Fake is an arm that runs a script, whatever it is asked to run. What it starts
// from is nothing.
type Fake struct {
	Named  string
	Script string   // of sh(1), with marks on descriptor 3
	Is     arm.Kind // "" is none
	Broken error    // why it cannot be used here
	Mute   bool     // it shows no boundary inside, and has no descriptor 3
}

// Parts of scripts. The bytes are guestport's StageProgram and StageProgramEnd.
const (
	Begin = `printf '\5' >&3; `
	End   = `printf '\6' >&3; `
	Hold  = Begin + "cat; " + End        // until the end of standard input
	Hang  = "exec sleep 1000"            // for longer than any test
	Noise = "exec tr '\\0' x </dev/zero" // without end
)

func (f Fake) Name() string    { return f.Named }
func (f Fake) Kind() arm.Kind  { return f.Is }
func (f Fake) Summary() string { return "a fake" }
func (f Fake) Install() string { return "it cannot be installed" }

// Passes implements arm.Arm. A script need not pass them.
func (f Fake) Passes() []compare.Boundary {
	if f.Mute {
		return []compare.Boundary{compare.Spawn, compare.Exit}
	}
	return []compare.Boundary{compare.Spawn, compare.Payload, compare.PayloadEnd, compare.Exit}
}

func (f Fake) Probe(context.Context, *arm.Env) (string, error) { return "1.0", f.Broken }

func (f Fake) Prepare(context.Context, *arm.Env, string, string) (arm.Prepared, error) {
	return f, nil
}

func (f Fake) Command(id string, _ []string) (*arm.Command, error) {
	c := &arm.Command{ID: id, Argv: []string{"/bin/sh", "-c", f.Script}, Marks: arm.ByteMarks}
	if f.Mute {
		c.Marks = arm.NoMarks
	}
	return c, nil
}

func (f Fake) Files() []string             { return []string{} }
func (f Fake) Close(context.Context) error { return nil }
