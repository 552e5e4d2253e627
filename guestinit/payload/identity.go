package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"microvm/guestinit/payload/protocol"
)

// identity says which kernel the payload runs on, by what name, and whom it
// sees beside it. What it cannot know, such as without /proc, it leaves out.
func identity() error {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return os.NewSyscallError("uname", err)
	}
	text(protocol.SystemName, unix.ByteSliceToString(u.Sysname[:]))
	text(protocol.HostName, unix.ByteSliceToString(u.Nodename[:]))
	text(protocol.Release, unix.ByteSliceToString(u.Release[:]))
	text(protocol.Version, unix.ByteSliceToString(u.Version[:]))
	text(protocol.Machine, unix.ByteSliceToString(u.Machine[:]))
	if version, err := os.ReadFile("/proc/version"); err == nil {
		text(protocol.ProcVersion, string(version))
	}
	count(protocol.PID, os.Getpid())
	if entries, err := os.ReadDir("/proc"); err == nil {
		count(protocol.Processes, processes(entries))
	}
	return nil
}

// processes returns how many entries of /proc are processes.
func processes(proc []os.DirEntry) (n int) {
	for _, entry := range proc {
		if _, err := strconv.ParseUint(entry.Name(), 10, 32); err == nil {
			n++
		}
	}
	return n
}
