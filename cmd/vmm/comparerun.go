package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare/report"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/terminal"
	"microvm/vmm"
)

// compareRun makes a run, or goes on with one, and its report.
func (a *app) compareRun(o *compareOptions, command []string) error {
	s, err := o.session(command)
	if err != nil {
		return err
	}
	// On a host of one processor a mark would else be read some milliseconds late,
	// when Go's runtime has found that who waits for the arm's end is in a system call.
	tuneRuntime(1)
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := endBySignal(ctx, func(signal error) { cancel(fmt.Errorf("stopped by %w", signal)) },
		func(s unix.Signal) { os.Exit(statusSignal + int(s)) }, nil) // what it has started, the kernel ends with it
	defer stop()
	if terminal.IsTerminal(a.stderr) {
		p := &progressLine{app: a}
		s.Tell = p.show
		defer p.clear()
	}
	if err := session.Make(ctx, s); ctx.Err() != nil {
		a.say("compare", err)
		return statusError(vmm.StatusStopped)
	} else if err != nil {
		return err
	}
	return report.Render(a.stdout, o.out)
}

// A progressLine is the line of a terminal that says how far a run is.
type progressLine struct {
	app   *app
	last  session.Progress // that was shown
	first int              // the first step of its part that this run has made
	begun time.Time        // when that was
}

// show replaces the line.
func (p *progressLine) show(now session.Progress) {
	if now.Part != p.last.Part || p.last.Steps == 0 {
		p.first, p.begun = now.Step, time.Now()
	}
	p.last = now
	var b strings.Builder
	if now.Parts > 0 {
		fmt.Fprintf(&b, "[%d/%d] ", now.Part, now.Parts)
	}
	b.WriteString(now.Doing)
	if now.Steps > 0 {
		fmt.Fprintf(&b, " %d/%d", now.Step, now.Steps)
	}
	if done := now.Step - p.first; done > 0 {
		left := time.Since(p.begun) / time.Duration(done) * time.Duration(now.Steps-now.Step)
		fmt.Fprintf(&b, ", at most %v left of this", left.Round(time.Second))
	}
	fmt.Fprintf(p.app.stderr, "\r%s%s", b.String(), eraseLine)
}

// clear takes the line away.
func (p *progressLine) clear() { fmt.Fprintf(p.app.stderr, "\r%s", eraseLine) }

// eraseLine erases from the cursor to the end of the line (ECMA-48 EL).
const eraseLine = "\x1b[K"
