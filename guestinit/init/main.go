// Command init is process 1 of the project's guests: the first program that
// the kernel starts, and the last that it hears of. Package guestinit tells
// what it does from its first instruction to power-off.
//
// Under other names it is one of the small commands that belong to it; see
// commands. It is built without cgo and without package fmt, for size: the
// kernel copies it from the initramfs at every start.
package main

import (
	"os"
	"strings"

	"microvm/guestinit"
)

func main() {
	name := os.Args[0][strings.LastIndexByte(os.Args[0], '/')+1:]
	if command := commands[name]; command != nil {
		os.Exit(command(name, os.Args[1:]))
	}
	if os.Getpid() != 1 {
		say(name, ": this is process 1 of a guest, not a command")
		os.Exit(statusUsage)
	}
	live()
}

// live is the guest's life. It does not return: the end of process 1 would be
// a kernel panic.
func live() {
	build([]part{procMount})
	port := openGuestPort()
	port.mark(stageInit)
	status, ran := serve(port)
	claimEnd()
	if ran {
		port.mark(stagePayloadEnd)
		port.report(status)
	}
	end(powerOff)
}

// serve brings the system up and runs the payload to its end, if there is one.
func serve(port guestPort) (status uint8, ran bool) {
	defer func() {
		if recover() != nil {
			say("this is a bug in init; powering off")
		}
	}()
	obeySignals()
	build(root)
	setHostname()
	raiseLoopback()
	loadModules(guestinit.LoadList)
	line, err := os.ReadFile("/proc/cmdline")
	reopenConsole(string(line))
	if err != nil {
		say(err.Error())
		return statusFailure, true
	}
	if d, given := rootDisk(string(line)); given && inInitramfs() {
		return d.handOver(port), true
	}
	term := openConsole(port)
	setEnvironment(term.terminal)
	if net, err := networkOption(string(line)); err != nil {
		say(err.Error())
	} else if net != nil {
		net.bringUp()
	}
	port.mark(stageReady)

	argv, err := payload(string(line))
	if err != nil {
		say(err.Error())
		return statusUsage, true
	}
	if len(argv) == 0 {
		return 0, false
	}
	port.mark(stagePayload)
	return term.run(argv), true
}

// say writes a line to the console.
func say(parts ...string) {
	// Where the console fails there is nobody to tell.
	_, _ = os.Stderr.WriteString("init: " + strings.Join(parts, "") + "\n")
}
