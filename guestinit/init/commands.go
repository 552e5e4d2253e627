package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// commands are the small programs that init is when it is called by their
// names. Those that end the guest ask process 1 to do it, so that output and
// disks are complete; the others fill gaps in u-root's set. The builder makes
// a link for each that the archive has no other program for.
var commands = map[string]func(name string, args []string) (status int){
	"poweroff": endGuest,
	"halt":     endGuest, // a machine that stands still and uses power is of no use to its user
	"reboot":   endGuest,
	"shutdown": endGuest,
	"nproc":    nproc,
}

// endGuest is poweroff, halt, reboot and shutdown [-h|-P|-r] [now].
func endGuest(name string, args []string) (status int) {
	request := signalPowerOff
	if name == "reboot" {
		request = signalReboot
	}
	for _, arg := range args {
		switch {
		case arg == "-f": // some scripts insist; we are quick enough
		case name == "shutdown" && arg == "-r":
			request = signalReboot
		case name == "shutdown" && (arg == "-h" || arg == "-P"):
			request = signalPowerOff
		case name == "shutdown" && (arg == "now" || arg == "+0"):
		default:
			return usage(name)
		}
	}
	if err := unix.Kill(1, request); err != nil {
		complain(name, err.Error())
		return 1
	}
	// A script goes no further than its poweroff.
	_ = unix.Pause()
	return 0
}

// nproc prints how many CPUs this process may use.
func nproc(name string, args []string) (status int) {
	if len(args) != 0 {
		return usage(name)
	}
	var cpus unix.CPUSet
	if err := unix.SchedGetaffinity(0, &cpus); err != nil {
		complain(name, err.Error())
		return 1
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(cpus.Count()) + "\n")
	return 0
}

func usage(name string) (status int) {
	arguments := ""
	if name == "shutdown" {
		arguments = " [-h | -P | -r] [now]"
	}
	complain(name, "usage: "+name+arguments)
	return statusUsage
}

func complain(name, text string) {
	_, _ = os.Stderr.WriteString(name + ": " + text + "\n")
}
