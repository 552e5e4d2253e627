// Kvmhost runs a command where KVM is real.
//
// On a host with VMX or SVM and a usable /dev/kvm, it becomes the command. On
// any other it starts a throw-away host, a Linux under QEMU whose emulated
// processor has SVM, and runs the command there:
//
//	 this host                                     throw-away host
//	┌──────────────────────┐                      ┌──────────────────────────┐
//	│ terminal, pipes      │     virtio-serial    │ COMMAND, /dev/kvm        │
//	│   │                  │     four ports       │   │ pipes or pty         │
//	│ kvmhost ─────────────┼── control ───────────┼─ process 1 (kvmhost too) │
//	│   │     ─────────────┼── stdin, out, err ───┼─  from an initramfs      │
//	│   │ starts, kills    │                      │                          │
//	│ QEMU ────────────────┼── the emulated PC ───┼─ Debian's generic kernel │
//	│   │                  │     virtio-9p        │                          │
//	│   ├ /     read-only ─┼──────────────────────┼─ / : overlay with tmpfs  │
//	│   └ share writable ──┼──────────────────────┼─ share, at its own path  │
//	└──────────────────────┘                      └──────────────────────────┘
//
// The command has its caller's user and groups, environment, working
// directory and standard streams, a pseudo-terminal where the caller has a
// terminal, the caller's signals, and every file under its own name, but for
// /proc, /sys, /dev and /run: those are the throw-away host's own, /dev/shm and
// /run empty. What it writes in a shared directory comes back; everything else
// is gone with the throw-away host, which ends when the command does, along
// with whatever the command left running. There is no network but the loopback
// interface.
//
// The shares have the limits of QEMU's 9p server: no Unix sockets and FIFOs can
// be made there, a file that is open and removed cannot be truncated, flock(2)
// and fcntl(2) locks are of the same kind and not seen from outside. Elsewhere
// the file system is Linux' own.
//
// Like ssh(1), kvmhost reads ahead on standard input: in a shell loop that
// reads the same input, give it </dev/null.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"microvm/cmd/kvmhost/internal/command"
	"microvm/cmd/kvmhost/internal/guest"
)

// init keeps main on the process's first thread, on which QEMU's life hangs:
// see qemu.Start.
func init() { runtime.LockOSThread() }

func main() {
	if os.Getpid() == 1 && os.Args[0] == "/init" {
		guest.Main()
	}
	os.Exit(run(os.Args[1:]))
}

// run is main with an exit status.
func run(args []string) int {
	o, err := parseOptions(args, os.Stdout)
	if errors.Is(err, errHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "kvmhost: %v\nkvmhost --help says how it is used.\n", err)
		return command.StatusUsage
	}
	status, err := execute(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kvmhost:", err)
		status = command.StatusFailure
		var commandErr *command.Error
		if errors.As(err, &commandErr) {
			status = commandErr.Status
		}
	}
	return status
}

// execute runs the command here or on a throw-away host, and returns its exit
// status.
func execute(o *options) (status int, err error) {
	if o.direct {
		return 0, runHere(o.command)
	}
	if !o.emulated {
		why := realKVM()
		if why == nil {
			return 0, runHere(o.command)
		}
		if o.verbose {
			fmt.Fprintln(os.Stderr, "kvmhost: KVM is not real here:", why)
		}
	}
	return emulate(o)
}
