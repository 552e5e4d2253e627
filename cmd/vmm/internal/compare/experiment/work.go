package experiment

import (
	"context"

	"microvm/cmd/vmm/internal/compare"
	"microvm/guestinit/payload/protocol"
)

// Work measures how fast the payload computes, for which no arm needs the host's
// kernel: what is slower than in a plain process is the price of the
// processor's second set of page tables, of interrupts on the way through a
// monitor, or of nothing.
var Work = &Experiment{
	Name:  "work",
	About: "speed of computing and of memory, as a plain process has it and as the payload has it in each arm",
	Run: func(ctx context.Context, s *Session) error {
		return s.turns(ctx, protocol.ModeWork, []metric{
			{WorkCPU, compare.PerSecond}, {WorkMemoryAccess, compare.PerSecond}, {WorkMemoryCopy, compare.BytesPerSecond},
		})
	},
}

// The metrics of Work.
const (
	WorkCPU          = protocol.CPU          // 1/s: rounds of a hash function, in registers
	WorkMemoryAccess = protocol.MemoryAccess // 1/s: reads at random places of 32 MiB, each of which waits for the one before
	WorkMemoryCopy   = protocol.MemoryCopy   // B/s: 8 MiB copied to another 8
)
