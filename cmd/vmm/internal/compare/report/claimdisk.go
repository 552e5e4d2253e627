package report

import (
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
)

var diskClaim = claim{
	"A guest operating system is about 700 MB, three are 2.1 GB; images of virtual machines are gigabytes, those of containers tens of megabytes.",
	"How many bytes on disk does each need to run the same payload?",
	experiment.Disk.Name, judgeDisk,
}

// guestOS is what a guest operating system is said to have, in bytes.
const guestOS = 700e6

func judgeDisk(e *evidence) answer {
	name := experiment.Disk.Name
	vm := e.one(name, experiment.DiskFiles, e.first(arm.VM, name))
	container := lowest(e.where(metric(name, experiment.DiskFiles), e.of(arm.Container)))
	if vm == nil || container == nil {
		return unmeasured("size of both a virtual machine and a container")
	}
	a := answer{Verdict: userSpace}
	if vm.median() >= guestOS {
		a.Verdict = yes
	}
	a.rest("bytes to start from", vm, container)
	a.say("To run the payload, %s needs %s on disk, its kernel included, and %s needs %s.", vm.label(), vm.short(), container.label(), container.short())
	if more := e.one(name, experiment.DiskInstance, vm.Arm); more != nil {
		a.rest("bytes that a further instance takes", more)
		a.say("A further virtual machine takes %s.", more.short())
	}
	if space := e.one(name, experiment.DiskDistribution, experiment.DistributionArm); space != nil {
		a.rest("a user space", space)
		a.say("A distribution's user space takes %s, in a container's image as in a virtual machine's.", space.short())
	}
	return a
}
