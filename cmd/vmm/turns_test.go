package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/measure"
)

// Disks and networks are measured with a guest of each arm at the same time, of which
// one goes on and the others are stopped (SIGSTOP). They take turns, in random order,
// one workload long. So what an arm is compared with is seconds away, where a host's
// speed drifts within minutes.

// A turnGuest is a guest that runs workloads in its turns, and is stopped between
// them.
type turnGuest struct {
	guestArm
	cmd     *exec.Cmd
	console string
	results int // that it has said
	ended   chan struct{}
	output  bytes.Buffer // the monitor's; after ended
}

// turnTime is how long a guest may take for a turn, its boot included.
const turnTime = 2 * time.Minute

// startTurns starts a guest that runs a script, which has each of workloads as an
// argument a number of times, and stops it before the first.
func (a guestArm) startTurns(b *testing.B, turns int, workloads, script []string) *turnGuest {
	b.Helper()
	// A guest that has been stopped is not to complain of it on the console.
	const parameters = "nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
	script = slices.Concat(script, a.args, slices.Repeat(workloads, turns))
	command, console := a.prepare(b, parameters, script)
	g := &turnGuest{guestArm: a, console: console, ended: make(chan struct{})}
	g.cmd = exec.CommandContext(b.Context(), command[0], command[1:]...)
	g.cmd.Stdout, g.cmd.Stderr = &g.output, &g.output
	if err := g.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait() // results are what counts
		close(g.ended)
	}()
	b.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.ended
	})
	if _, err := g.turn("ready"); err != nil {
		b.Fatal(err)
	}
	return g
}

// turn lets the guest go on until it says its next result, which must be of a name.
func (g *turnGuest) turn(name string) (float64, error) {
	if err := g.cmd.Process.Signal(unix.SIGCONT); err != nil {
		return 0, err
	}
	defer g.cmd.Process.Signal(unix.SIGSTOP)                                         // nothing of one that has ended
	for deadline := time.Now().Add(turnTime); ; time.Sleep(100 * time.Millisecond) { // it takes the guest's processor
		over := time.Now().After(deadline)
		select {
		case <-g.ended:
			over = true
		default:
		}
		output, err := os.ReadFile(g.console)
		if err != nil {
			return 0, err
		}
		results, err := parseResults(string(output))
		switch {
		case err != nil:
			return 0, err
		case len(results) > g.results:
			r := results[g.results]
			if g.results++; r.name != name {
				return 0, fmt.Errorf("%s: result of %q, want of %s", g.name, r.name, name)
			}
			return r.value, nil
		case over:
			return 0, fmt.Errorf("%s: no result of %s\n%s", g.name, name, output)
		}
	}
}

// compareInTurns measures all workloads in all arms by a script, each a number of
// times or what MICROVM_RUNS says, and reports for each the ratio of the first arm to the
// best of the others, turn by turn. More is better. A guest of another monitor that is
// lost is shown and left out: QEMU with io_uring at times hangs under emulation.
func compareInTurns(b *testing.B, turns int, workloads []string, arms []guestArm, script ...string) {
	b.Helper()
	turns = runs(b, turns)
	var guests []*turnGuest
	for _, a := range arms {
		guests = append(guests, a.startTurns(b, turns, workloads, script))
	}
	samples := make(map[string]map[string][]float64) // workload, arm
	for _, w := range workloads {
		samples[w] = make(map[string][]float64)
	}
	for range turns {
		for _, w := range workloads {
			for _, i := range rand.Perm(len(guests)) {
				g := guests[i]
				if g == nil {
					continue
				}
				value, err := g.turn(w)
				if err != nil && i == 0 {
					b.Fatal(err)
				} else if err != nil {
					b.Log("lost: ", err)
					guests[i] = nil
					continue
				}
				samples[w][g.name] = append(samples[w][g.name], value)
			}
		}
	}
	var names []string
	for _, g := range guests {
		if g != nil {
			names = append(names, g.name)
		}
	}
	for _, w := range workloads {
		reportTurns(b, w, names, samples[w])
	}
}

// reportTurns reports the ratio of the first of names to the best of the others.
func reportTurns(b *testing.B, workload string, names []string, samples map[string][]float64) {
	b.Helper()
	if len(names) < 2 {
		b.Fatal("every guest of another monitor was lost")
	}
	best := bestOf(names[1:], samples)
	r := measure.PairedRatio(samples[names[0]], samples[best])
	for _, name := range names {
		b.Logf("%s: %s %.0f a second", workload, name, samples[name])
	}
	what := "95 % interval"
	if measure.Sparse(r.N) {
		what = "all between"
	}
	b.Logf("%s: %s / %s: %.2f (%s %.2f and %.2f, %d turns)", workload, names[0], best, r.Ratio, what, r.Low, r.High, r.N)
	b.ReportMetric(r.Ratio, strings.ReplaceAll(workload, ":", "-")+"-ratio")
}
