package report

import "microvm/cmd/vmm/internal/compare/experiment"

// meanings are metrics in words, where their names do not say it.
var meanings = map[string]string{
	experiment.MemoryVSS:        "address space",
	experiment.MemoryRSS:        "resident set size, a shared page counted in each process",
	experiment.MemoryPSS:        "proportional set size, a shared page counted in parts",
	experiment.MemoryUSS:        "unique set size, of pages that no other process has",
	experiment.MemoryPSSFile:    "proportional set size of files",
	experiment.MemoryPSSAnon:    "proportional set size of anonymous memory",
	experiment.MemoryPSSShmem:   "proportional set size of shared memory",
	experiment.MemoryHost:       "memory that the host has less available",
	experiment.MemoryGuestTotal: "memory of the guests, as their kernels say",
	experiment.MemoryGuestUsed:  "memory in use, as the guests' kernels say",
}
