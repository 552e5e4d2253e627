package main

import (
	"time"

	"microvm/guestinit/payload/protocol"
)

// faults takes memory page by page: once from all that the kernel has free,
// which in a guest may be memory that the host has not got for it yet, and then
// the same few pages again and again, which it has.
func faults() error {
	const first, again = 16 << 20, 1 << 20
	r, err := newRegion(first)
	if err != nil {
		return err
	}
	begun := time.Now()
	r.touch()
	perSecond(protocol.FirstPageFault, protocol.PerSecond, first/pageSize, time.Since(begun))
	if err := r.drop(); err != nil {
		return err
	}
	r = r[:again]
	return rate(protocol.PageFault, protocol.PerSecond, again/pageSize, func() error {
		r.touch()
		return r.drop()
	})
}
