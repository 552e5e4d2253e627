package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// setHostname names the guest, unless the kernel's command line has
// (hostname=).
func setHostname() {
	const unnamed, name = "(none)", "guest"
	if current, err := os.Hostname(); err == nil && current != unnamed && current != "" {
		return
	}
	if err := unix.Sethostname([]byte(name)); err != nil {
		say("hostname: ", err.Error())
	}
}

// raiseLoopback brings up the loopback interface. A kernel without network has
// none, which is no fault.
func raiseLoopback() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	loopback, err := unix.NewIfreq("lo")
	if err != nil {
		return
	}
	loopback.SetUint16(unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, loopback); err != nil && err != unix.ENODEV {
		say("loopback interface: ", err.Error())
	}
}

// setEnvironment completes the environment that the kernel gives process 1,
// which is HOME, TERM, and what looks like a variable on its command line.
func setEnvironment(terminal bool) {
	defaults := []struct{ name, value string }{
		{"PATH", "/bin:/sbin:/usr/bin:/usr/sbin:/usr/local/bin:/bbin"},
		{"USER", "root"},
		{"LOGNAME", "root"},
		{"SHELL", shell},
	}
	for _, v := range defaults {
		if os.Getenv(v.name) == "" {
			os.Setenv(v.name, v.value)
		}
	}
	if home := os.Getenv("HOME"); home == "/" || home == "" { // "/" is the kernel's
		os.Setenv("HOME", "/root")
	}
	if !terminal {
		os.Setenv("TERM", "dumb")
	}
}
