// Command payload is what a comparison runs in every arm: a process, a
// container, a virtual machine. It says when its first and its last
// instructions run, and between them does the work that it is asked for and
// says what came of it, in the lines of package protocol.
//
// In a guest it marks both moments at the guest port, where the monitor sees
// them at once; elsewhere by the clock that it shares with whoever started it.
//
// It is built without cgo and without packages fmt and net, for its start.
package main

import (
	"errors"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/devices/guestport"
	"microvm/guestinit/payload/protocol"
	"microvm/guestinit/port"
)

// Exit statuses.
const (
	statusFailure = 1
	statusUsage   = 2
)

const usage = `usage: payload MODE [ARGUMENT…] [, MODE [ARGUMENT…]]… | exec PATH [ARGUMENT…]
  start                         nothing
  hold                          wait for the end of standard input
  syscalls                      system calls
  faults                        page faults
  read FILE                     blocks of a file at random places
  address ADDRESS/BITS          give the network interface an address
  roundtrip HOST:PORT           messages to a TCP server that sends them back
  stream HOST:PORT to|from      bytes to a TCP server, or from one
  work                          work in registers and memory, a moment for each line of standard input
  identity                      which kernel this is, and under which name
  reach                         what can be seen from here
  hash DIRECTORY                what is in a tree
  kernel-memory                 how much memory the kernel has and uses
  exec PATH [ARGUMENT…]         a command
`

// errUsage is what a mode returns that does not take these arguments.
var errUsage = errors.New("usage")

func main() {
	begun := now()
	p := port.Open()
	mark(p, guestport.StageProgram, protocol.Mark{Boundary: protocol.Payload, At: begun})
	if err := runAll(os.Args[1:]); err != nil {
		fail(err)
	}
	mark(p, guestport.StageProgramEnd, protocol.Mark{Boundary: protocol.PayloadEnd, At: now()})
}

// runAll runs one mode after the other, up to the first that fails.
func runAll(args []string) error {
	if len(args) > 0 && args[0] == protocol.ModeExec {
		return execute(args[1:]) // whose arguments are its own affair
	}
	for {
		end := slices.Index(args, protocol.Then)
		if end < 0 {
			return run(args)
		}
		if err := run(args[:end]); err != nil {
			return err
		}
		args = args[end+1:]
	}
}

// run runs one mode.
func run(args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	mode, args := args[0], args[1:]
	switch len(args) {
	case 0:
		return runAlone(mode)
	case 1:
		return runWith(mode, args[0])
	case 2:
		if mode == protocol.ModeStream {
			return stream(args[0], args[1])
		}
	}
	return errUsage
}

// runAlone runs a mode that takes no argument.
func runAlone(mode string) error {
	switch mode {
	case protocol.ModeStart:
		return nil
	case protocol.ModeHold:
		return hold(os.Stdin)
	case protocol.ModeSyscalls:
		return syscalls()
	case protocol.ModeFaults:
		return faults()
	case protocol.ModeWork:
		return work(os.Stdin)
	case protocol.ModeIdentity:
		return identity()
	case protocol.ModeReach:
		return reach()
	case protocol.ModeKernelMemory:
		return kernelMemory()
	}
	return errUsage
}

// runWith runs a mode that takes one argument.
func runWith(mode, arg string) error {
	switch mode {
	case protocol.ModeRead:
		return read(arg)
	case protocol.ModeAddress:
		return address(arg)
	case protocol.ModeRoundTrip:
		return roundTrip(arg)
	case protocol.ModeHash:
		return hash(arg)
	}
	return errUsage
}

func fail(err error) {
	if err == errUsage {
		_, _ = os.Stderr.WriteString(usage)
		os.Exit(statusUsage)
	}
	_, _ = os.Stderr.WriteString("payload: " + strings.Join(os.Args[1:], " ") + ": " + err.Error() + "\n")
	os.Exit(statusFailure)
}

// now returns CLOCK_MONOTONIC in nanoseconds.
func now() int64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t) // every Linux has it
	return t.Nano()
}

// mark says that a boundary has been passed.
func mark(p port.Port, stage uint8, m protocol.Mark) {
	if p.Found() && p.Mark(stage) == nil {
		return
	}
	tell(&m)
}

// tell writes a line, in one piece. Where standard output fails there is nobody
// to tell, and whoever waits for the line will miss it.
func tell(line protocol.Line) { _, _ = os.Stdout.Write(line.Append(nil)) }
