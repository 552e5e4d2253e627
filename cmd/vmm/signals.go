package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// endBySignal has the first signal to end cancel ctx, with the signal's name as the
// cause, and each further one call again. What else it hears, of the signals in
// others, goes to other. It lasts until stop is called.
//
// A signal that this process was started to ignore stays ignored, as nohup(1)
// and a shell's background jobs want it.
func endBySignal(ctx context.Context, cancel context.CancelCauseFunc, again func(unix.Signal), other func(os.Signal), others ...os.Signal) (stop func()) {
	signals := make(chan os.Signal, 4)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	if len(others) > 0 { // no names would mean all signals
		signal.Notify(signals, others...)
	}
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-quit:
				return
			case s := <-signals:
				switch {
				case slices.Contains(others, s):
					other(s)
				case ctx.Err() == nil:
					cancel(errors.New(unix.SignalName(s.(unix.Signal))))
				default:
					again(s.(unix.Signal))
				}
			}
		}
	})
	return func() {
		signal.Stop(signals)
		close(quit)
		watcher.Wait()
		cancel(context.Canceled)
	}
}

// watchSignals returns a context that the first signal to end cancels. A second one
// ends this process at once, with the terminal restored and the trace written.
// Until stop is called, a terminal that was given to con is taken again after a
// stop.
func (a *app) watchSignals(con *console, trace *tracer) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	con.leave = cancel
	return ctx, endBySignal(ctx, cancel,
		func(s unix.Signal) { endAtOnce(s, con, trace) },
		func(s os.Signal) {
			if s == unix.SIGCONT {
				con.again()
			}
			con.resize() // it may have changed while this process was stopped, too
		}, unix.SIGCONT, unix.SIGWINCH)
}

// lastMoment is how long the end of this process may wait for what it has to
// say: a pipe that nobody reads takes nothing.
const lastMoment = 200 * time.Millisecond

// statusSignal is what shells add to a signal's number for an exit status.
const statusSignal = 128

// endAtOnce ends this process as s would, whatever else it is doing.
func endAtOnce(s unix.Signal, con *console, trace *tracer) {
	said := make(chan struct{})
	go func() {
		defer close(said)
		con.detach()
		// There is no time left to act on an error.
		_ = trace.flush()
	}()
	select {
	case <-said:
	case <-time.After(lastMoment):
	}
	os.Exit(statusSignal + int(s))
}
