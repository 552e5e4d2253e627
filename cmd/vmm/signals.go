package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// watchSignals returns a context that the first signal to end cancels, with
// the signal's name as the cause. A second one kills this process at once, as
// if it had not been caught, but with the terminal restored. Until stop is
// called, a terminal that was given to con is taken again after a stop.
//
// A signal that this process was started to ignore stays ignored, as nohup(1)
// and a shell's background jobs want it.
func (a *app) watchSignals(con *console) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	con.leave = cancel
	signals := make(chan os.Signal, 4)
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	signal.Notify(signals, unix.SIGCONT)
	quit := make(chan struct{})
	var watcher sync.WaitGroup
	watcher.Go(func() {
		for {
			select {
			case <-quit:
				return
			case s := <-signals:
				switch {
				case s == unix.SIGCONT:
					con.again()
				case ctx.Err() == nil:
					cancel(errors.New(unix.SignalName(s.(unix.Signal))))
				default:
					con.detach()
					signal.Reset(s)
					// To this process there is always permission.
					_ = unix.Kill(unix.Getpid(), s.(unix.Signal))
				}
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
