package arm

// All returns every arm that there is, usable on this host or not, from the least
// isolated.
func All() []Arm {
	return []Arm{
		newProcess(), newChroot(),
		newBwrap(), newCrun(), newRunc(), newRunsc(),
		newPodman(), newDocker(),
		newVMM(), newMicroVM(), newQ35(), newKvmtool(), newFirecracker(), newCloudHypervisor(), newKata(),
	}
}
