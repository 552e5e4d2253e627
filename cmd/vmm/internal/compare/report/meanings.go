package report

import "microvm/cmd/vmm/internal/compare/experiment"

// meanings are metrics in words, where their names do not say it.
var meanings = map[string]string{
	experiment.MemoryVSS:        "address space",
	experiment.MemoryRSS:        "resident set size: a shared page counts in each process",
	experiment.MemoryPSS:        "proportional set size: a shared page counts in parts",
	experiment.MemoryUSS:        "unique set size: pages that no other process has",
	experiment.MemoryPSSFile:    "proportional set size of files",
	experiment.MemoryPSSAnon:    "proportional set size of anonymous memory",
	experiment.MemoryPSSShmem:   "proportional set size of shared memory",
	experiment.MemoryHost:       "by how much less the host has available",
	experiment.MemoryGuestTotal: "what the guests' kernels call their memory",
	experiment.MemoryGuestUsed:  "what the guests' kernels have in use",
}
