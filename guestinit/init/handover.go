package main

import (
	"os"
	"path"
	"slices"

	"golang.org/x/sys/unix"

	"microvm/guestinit"
)

// newRoot is where a disk is mounted until it becomes the root.
const newRoot = "/mnt"

// inInitramfs reports whether the root is the kernel's own, in memory. What is
// on any other is not ours to replace.
func inInitramfs() bool {
	var root unix.Statfs_t
	err := unix.Statfs("/", &root)
	magic := uint32(root.Type) // of 32 bits, signed on some processors
	return err == nil && (magic == unix.RAMFS_MAGIC || magic == unix.TMPFS_MAGIC)
}

// handOver makes the disk the root of the system and its init process 1, with
// the arguments and the environment that the kernel gave us. It returns only if
// that fails, with the exit status to be reported.
func (d disk) handOver(port guestPort) (status uint8) {
	if err := d.check(); err != nil {
		say("root=", d.device, ": ", err.Error())
		return statusUsage
	}
	port.mark(stageReady)
	loadModules(guestinit.RootList)
	if err := d.await(deviceTime); err != nil {
		say("root=", d.device, ": ", err.Error(), "; there are these block devices: ", blockDevices())
		return statusFailure
	}
	if err := d.mount(newRoot); err != nil {
		say("root=", d.device, ": ", err.Error())
		return statusFailure
	}
	if err := switchRoot(); err != nil {
		say("root=", d.device, ": cannot become the root: ", err.Error())
		return statusFailure
	}
	port.mark(stagePayload)
	err := unix.Exec(d.init, append([]string{d.init}, os.Args[1:]...), os.Environ())
	say("cannot run init=", d.init, " of root=", d.device, ": ", err.Error())
	// What is the root is not unmounted at the guest's end.
	_ = unix.Mount("", "/", "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	return statusOf(err)
}

// moved are the file systems of ours that go with the new root. It mounts all
// others itself, with options of its own choice.
var moved = []string{"/dev", "/proc", "/sys"}

// switchRoot makes what is mounted at newRoot the root of the system, and gives
// back the memory of the old one.
func switchRoot() error {
	for _, p := range slices.Backward(root) {
		if m, is := p.(mount); is && !slices.Contains(moved, m.target) {
			_ = unix.Unmount(m.target, unix.MNT_DETACH) // it may not have been mounted
		}
	}
	for _, target := range moved {
		if err := unix.Mount(target, newRoot+target, "", unix.MS_MOVE, ""); err != nil {
			return &os.LinkError{Op: "move", Old: target, New: newRoot + target, Err: err}
		}
	}
	if err := empty("/", newRoot); err != nil {
		return err
	}
	// The root of a process cannot be moved, but another can be put over it.
	if err := unix.Chdir(newRoot); err != nil {
		return err
	}
	if err := unix.Mount(".", "/", "", unix.MS_MOVE, ""); err != nil {
		return err
	}
	return unix.Chroot(".")
}

// empty removes all that is in dir but what is called kept.
//
// Preconditions: nothing is mounted below dir but at kept.
func empty(dir, kept string) error {
	entries, err := os.ReadDir(dir)
	for _, entry := range entries {
		if name := path.Join(dir, entry.Name()); name != kept {
			_ = os.RemoveAll(name) // what is left uses memory, and that is all
		}
	}
	return err
}
