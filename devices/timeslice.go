package devices

import (
	"runtime"
	"time"
)

// timeSlice is shorter than the 10 ms after which Go's runtime acts (runtime/proc.go,
// forcePreemptNS): a guest that keeps its host busy comes out at least every
// millisecond or two.
const timeSlice = 8 * time.Millisecond

// A TimeSlice is of a goroutine that spends its life in system calls, such as a
// vCPU's or a queue's. The zero value is ready.
//
// Go's runtime measures how long a goroutine has run from the last call of its
// scheduler, and a system call is none. After 10 ms it takes the goroutine's right to
// run Go code away whenever it finds it in a system call, looks for that every 20 µs,
// and wakes another thread each time: twice as many switches between threads as an
// exit or a request needs (Go 1.26, runtime/proc.go, retake).
type TimeSlice struct{ ends time.Time }

// Renew calls the scheduler if it was not called for some milliseconds, and reports
// whether it did. For a goroutine that is locked to its thread that costs four
// switches between threads, for another none.
func (s *TimeSlice) Renew() bool {
	now := time.Now()
	if now.Before(s.ends) {
		return false
	}
	runtime.Gosched()
	s.ends = now.Add(timeSlice)
	return true
}
