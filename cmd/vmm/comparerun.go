package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
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
	ctx, stop := untilSignal()
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

// untilSignal returns a context that the first signal to end cancels, with the
// signal's name as the cause. A second one ends this process at once; what it has
// started, the kernel ends with it.
func untilSignal() (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-quit:
				return
			case s := <-signals:
				if ctx.Err() != nil {
					os.Exit(statusSignal + int(s.(unix.Signal)))
				}
				cancel(fmt.Errorf("stopped by %s", unix.SignalName(s.(unix.Signal))))
			}
		}
	})
	return ctx, func() {
		signal.Stop(signals)
		close(quit)
		watcher.Wait()
		cancel(context.Canceled)
	}
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
