package main

import (
	"os"

	"microvm/guestinit/payload/protocol"
)

// memorySize is many times what a processor keeps translations for, 1500 to
// 3000 pages of 4 KiB. So most accesses walk page tables, a guest's through two
// sets of them.
const memorySize = 32 << 20

// A worker has what the three kinds of work go on with.
type worker struct {
	x       uint64 // the last hash
	chained region // a chain of links
	at      uint32 // the link that is next
	room    region // half as large: one half is copied to the other
}

// work does each kind of work for a moment at each line of input.
func work(input *os.File) error {
	chained, err := newRegion(memorySize)
	if err != nil {
		return err
	}
	room, err := newRegion(memorySize / 2)
	if err != nil {
		return err
	}
	chain(chained)
	w := &worker{1, chained, 0, room}
	return eachLine(input, "for its turn", w.turn)
}

// turn does each kind of work and says how fast. It is told to do so while others of
// its kind wait: the first moment finds the caches as these have left them, and does
// not count. Which pages are to be copied makes a difference of a tenth. So they are
// given back at the end, and who comes next on the same kernel has the same ones.
func (w *worker) turn() error {
	w.room.touch()
	for _, kind := range []struct {
		metric, unit string
		amount       int
		work         func()
	}{
		{protocol.CPU, protocol.PerSecond, hashBatch, w.hash},
		{protocol.MemoryAccess, protocol.PerSecond, accessBatch, w.access},
		{protocol.MemoryCopy, protocol.BytesPerSecond, len(w.room) / 2, w.copy},
	} {
		var value float64
		for range 2 {
			var err error
			if value, err = slice(kind.amount, func() error { kind.work(); return nil }); err != nil {
				return err
			}
		}
		tell(&protocol.Result{Metric: kind.metric, Unit: kind.unit, Value: value})
	}
	return w.room.drop()
}

const hashBatch, accessBatch = 1 << 16, 10_000

// hash computes in registers, each step from the one before.
func (w *worker) hash() {
	x := w.x
	for range hashBatch {
		x = mix(x)
	}
	w.x = x
}

// mix is the finalizer of MurmurHash3: shifts, multiplications and exclusive ors.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}

// access follows the chain.
func (w *worker) access() {
	at := w.at
	for range accessBatch {
		at = follow(w.chained, at)
	}
	w.at = at
}

func (w *worker) copy() {
	half := len(w.room) / 2
	copy(w.room[:half], w.room[half:])
}
