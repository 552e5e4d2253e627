package main

import (
	"runtime"

	"microvm/guestinit/payload/protocol"
)

// cpu computes in registers, each step from the one before.
func cpu() error {
	const batch = 1 << 16
	x := uint64(1)
	err := rate(protocol.CPU, protocol.PerSecond, batch, func() error {
		for range batch {
			x = mix(x)
		}
		return nil
	})
	runtime.KeepAlive(x)
	return err
}

// mix is the finalizer of MurmurHash3: shifts, multiplications and exclusive ors.
func mix(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
