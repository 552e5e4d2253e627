package main

import (
	"slices"
	"time"

	"microvm/guestinit/payload/protocol"
)

// A rate is measured in slices, of which each is many times a clock's grain and has
// some of the kernel's timer interrupts, and as long on a slow host as on a fast one.
const (
	sliceCount = 15
	sliceTime  = 20 * time.Millisecond
	measured   = sliceCount * sliceTime // all of it
)

// rate calls work, which is amount operations or bytes, for some slices of time, and
// says how many a second were done in their median: what else the host does now and
// then falls on some of them.
func rate(metric, unit string, amount int, work func() error) error {
	rates := make([]float64, sliceCount)
	for i := range rates {
		var err error
		if rates[i], err = slice(amount, work); err != nil {
			return err
		}
	}
	slices.Sort(rates)
	tell(&protocol.Result{Metric: metric, Unit: unit, Value: rates[sliceCount/2]})
	return nil
}

// slice calls work for a slice of time, and returns how many of amount a second were
// done.
func slice(amount int, work func() error) (float64, error) {
	begun := time.Now()
	done, took := 0, time.Duration(0)
	for took < sliceTime {
		if err := work(); err != nil {
			return 0, err
		}
		done += amount
		took = time.Since(begun)
	}
	return float64(done) / took.Seconds(), nil
}

func perSecond(metric, unit string, done int, took time.Duration) {
	tell(&protocol.Result{Metric: metric, Unit: unit, Value: float64(done) / took.Seconds()})
}

func count(metric string, n int) {
	tell(&protocol.Result{Metric: metric, Unit: protocol.Count, Value: float64(n)})
}

func text(metric, words string) { tell(&protocol.Text{Metric: metric, Text: words}) }
