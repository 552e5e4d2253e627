package main

import (
	"encoding/binary"
	"math/rand/v2"
)

// cacheLine is the size of a link of the chain in bytes.
const cacheLine = 64

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
