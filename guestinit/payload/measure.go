package main

import (
	"time"

	"microvm/guestinit/payload/protocol"
)

// measured is how long a rate is measured: many times a clock's grain, and as
// long on a slow host as on a fast one.
const measured = 300 * time.Millisecond

// rate calls work, which is amount operations or bytes, until measured is over,
// and says how many a second were done.
func rate(metric, unit string, amount int, work func() error) error {
	begun := time.Now()
	for done := 0; ; {
		if err := work(); err != nil {
			return err
		}
		done += amount
		if took := time.Since(begun); took >= measured {
			perSecond(metric, unit, done, took)
			return nil
		}
	}
}

func perSecond(metric, unit string, done int, took time.Duration) {
	tell(&protocol.Result{Metric: metric, Unit: unit, Value: float64(done) / took.Seconds()})
}

func count(metric string, n int) {
	tell(&protocol.Result{Metric: metric, Unit: protocol.Count, Value: float64(n)})
}

func text(metric, words string) { tell(&protocol.Text{Metric: metric, Text: words}) }
