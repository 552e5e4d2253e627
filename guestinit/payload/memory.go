package main

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"

	"microvm/guestinit/payload/protocol"
)

// memorySize is many times what a processor keeps translations for, 1500 to
// 3000 pages of 4 KiB. So most accesses walk page tables, a guest's through two
// sets of them.
const memorySize = 32 << 20

// cacheLine is the size of a link of the chain in bytes.
const cacheLine = 64

func memory() error {
	r, err := newRegion(memorySize)
	if err != nil {
		return err
	}
	if err := access(r); err != nil {
		return err
	}
	half := len(r) / 2
	return rate(protocol.MemoryCopy, protocol.BytesPerSecond, half, func() error {
		copy(r[:half], r[half:])
		return nil
	})
}

// access follows a chain through all of r.
func access(r region) error {
	chain(r)
	const batch = 10_000
	at := uint32(0)
	err := rate(protocol.MemoryAccess, protocol.PerSecond, batch, func() error {
		for range batch {
			at = follow(r, at)
		}
		return nil
	})
	runtime.KeepAlive(at)
	return err
}

// follow returns where the link at leads.
func follow(r region, at uint32) uint32 { return binary.LittleEndian.Uint32(r[at:]) }

// chain makes of r a closed chain of links in random order: each begins with the
// offset of the next. It is one chain because each link is put in by a swap
// with another before it (Sattolo's algorithm).
func chain(r region) {
	order := make([]uint32, len(r)/cacheLine)
	for i := range order {
		order[i] = uint32(i * cacheLine)
	}
	random := rand.New(rand.NewPCG(1, 2)) // the same chain in every arm
	for i := len(order) - 1; i > 0; i-- {
		j := random.IntN(i)
		order[i], order[j] = order[j], order[i]
	}
	for i, next := range order {
		binary.LittleEndian.PutUint32(r[i*cacheLine:], next)
	}
}
