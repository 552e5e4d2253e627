package report

import x "microvm/cmd/vmm/internal/compare/experiment"

// meanings are the metrics of each experiment in words, where their names do not
// say it all.
var meanings = map[string]map[string]string{
	x.Disk.Name: {
		x.DiskFiles:             "what the payload is started from",
		x.DiskFilesAllocated:    "the same in blocks",
		x.DiskFilesShared:       "of it, what other arms start from too",
		x.DiskInstance:          "what one more instance takes",
		x.DiskPrograms:          "the arm's programs and their libraries",
		x.DiskProgramsAllocated: "the same in blocks",
		x.DiskDistribution:      "a distribution's user space",
	},
	x.Memory.Name: {
		x.MemoryVSS:        "address space",
		x.MemoryRSS:        "resident set size, a shared page counted in each process",
		x.MemoryPSS:        "proportional set size, a shared page counted in parts",
		x.MemoryUSS:        "unique set size, of pages that no other process has",
		x.MemoryPSSFile:    "proportional set size of files",
		x.MemoryPSSAnon:    "proportional set size of anonymous memory",
		x.MemoryPSSShmem:   "proportional set size of shared memory",
		x.MemoryHost:       "memory that the host has less available",
		x.MemoryGuestTotal: "memory of the guests, as their kernels say",
		x.MemoryGuestUsed:  "memory in use, as the guests' kernels say",
	},
	x.Density.Name: {
		x.DensityMemory: "memory that the host has less available",
		x.DensityStop:   "instances at the end, and why there were no more",
	},
	x.Request.Name: {
		x.RequestSystemCall:     "system calls",
		x.RequestFirstPageFault: "page faults in memory that is new to the process",
		x.RequestPageFault:      "page faults in memory that was given back",
		x.RequestRead:           "reads of 4 KiB at random places of a file of the host's",
		x.RequestRoundTrip:      "messages of 64 bytes to a server on the host and back",
		x.RequestStreamTo:       "one connection's bytes to the host",
		x.RequestStreamFrom:     "one connection's bytes from the host",
		x.RequestReadBy:         "what carries the reads",
		x.RequestNetworkBy:      "what carries the messages",
	},
	x.Work.Name: {
		x.WorkCPU:          "rounds of a hash function, in registers",
		x.WorkMemoryAccess: "reads of memory, each waiting for the one before",
		x.WorkMemoryCopy:   "memory copied",
	},
	x.Kernel.Name: {
		x.KernelPID:       "the payload's own process number",
		x.KernelProcesses: "processes that it sees",
		x.KernelsAtOnce:   "different kernels at the same time",
	},
	x.Isolation.Name: {
		x.SeenFiles:        "files that the payload sees",
		x.SeenDevices:      "device files that it sees",
		x.SeenBlock:        "disks and partitions that it sees",
		x.SeenInterfaces:   "network interfaces that it sees",
		x.SeenMounts:       "mounts that it sees",
		x.HostNamespaces:   "namespaces that it, or its monitor, shares with vmm",
		x.HostCapabilities: "capabilities that it, or its monitor, has",
		x.HostCalls:        "system calls that it, or its monitor, may make",
		x.UsedByPayload:    "different system calls of the host's that it makes",
		x.UsedByArm:        "different ones that the rest of the arm makes",
		x.UsedForGuest:     "different ones that the monitor makes while the guest runs",

		x.UsedByPayload + x.UsedMade: "all system calls of the host's that it makes",
		x.UsedByArm + x.UsedMade:     "all that the rest of the arm makes",
		x.UsedForGuest + x.UsedMade:  "all that the monitor makes while the guest runs",
	},
	x.Replication.Name: {
		x.ReplicationMapped:   "pages of all instances, added",
		x.ReplicationFrames:   "the host's memory for them",
		x.ReplicationShared:   "of it, mapped by several instances",
		x.ReplicationZero:     "of it, with nothing but zeros",
		x.ReplicationEqual:    "of it, with the contents of another instance's",
		x.ReplicationRoot:     "of it, with a page of the root directory",
		x.ReplicationRootOnce: "different pages of the root directory in it",
	},
}
