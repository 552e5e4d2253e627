// Package arm has the ways to run a payload that a comparison knows: plain
// processes, containers, container engines and virtual machines. Each is a file.
package arm

import (
	"context"
	"time"

	"microvm/cmd/vmm/internal/compare"
)

// A Kind says how a payload is isolated.
type Kind string

// The kinds, from the least isolated.
const (
	Process   Kind = "process"   // no isolation, or of the root directory only
	Container Kind = "container" // namespaces of the host's kernel
	Engine    Kind = "engine"    // containers with a manager of images and networks
	Sandbox   Kind = "sandbox"   // a kernel of its own that is a program of the host's
	VM        Kind = "vm"        // a kernel of its own in a machine of its own
)

// An Arm is a way to run a payload.
type Arm interface {
	Name() string               // one word, such as "crun"
	Kind() Kind                 //
	Summary() string            // what it is, one line
	Install() string            // how to get it on Debian, one line
	Passes() []compare.Boundary // the boundaries that it shows, in order
	// Probe returns the arm's version, or why it cannot be used on this host
	// and what would make it usable. It changes nothing on the host.
	Probe(ctx context.Context, e *Env) (version string, err error)
	// Prepare makes of a root directory what the arm starts from, in the empty
	// directory dir: a bundle, an image, an initramfs. That is not measured.
	Prepare(ctx context.Context, e *Env, root, dir string) (Prepared, error)
}

// An Env is where arms find what they need.
type Env struct {
	Kernel    string // a guest's kernel
	GuestInit string // an initramfs with our init alone, to which a root directory is added
	// GuestDrivers is one that has, in addition, modules of the kernels for what
	// is given on request: a disk, a network. It is "" if the kernels have them
	// built in.
	GuestDrivers string
	VMM          string // our own program
	Memory       uint64 // of each guest in bytes
}

// A Prepared arm can start any number of instances at once.
type Prepared interface {
	// Command returns what starts an instance that runs argv, which is a path in
	// the root directory and arguments. The id is a word that no other
	// instance on the host has.
	Command(id string, argv []string) (*Command, error)
	// Files are what the host must keep on disk to start an instance, root
	// directory included, programs of the arm excluded; nil if that is not known.
	Files() []string
	// Close removes from the host all that Prepare and instances have left.
	Close(ctx context.Context) error
}

// A Command is what is started for an instance.
type Command struct {
	ID   string // of the instance; its processes are known by it
	Argv []string
	Env  []string // in addition to the parent's
	Dir  string
	// Marks says how boundaries inside reach the parent.
	Marks Marks
	// Terminal makes standard input and output a terminal, for a program that takes no
	// input from anything else.
	Terminal bool
	// IDFile is where an engine writes its own name for the instance, by which its
	// processes are known as well; "" if there is none.
	IDFile string
	// Linger is how long its other processes may go on when its process has ended
	// with success, to put things away.
	Linger time.Duration
	// Remove takes away what is left of the instance when its process was
	// killed or has failed; nil if nothing can be.
	Remove func(ctx context.Context) error
}

// Marks is a way by which boundaries reach the parent.
type Marks int

const (
	// ClockMarks are lines of the payload's standard output, which begin with
	// protocol.MarkPrefix, and carry the boundary and the time of
	// CLOCK_MONOTONIC.
	ClockMarks Marks = iota
	// EventMarks are the lines of "vmm boot --trace events" on descriptor 3.
	EventMarks
	// ByteMarks are the bytes that the guest writes to its port, on
	// descriptor 3: a guestport stage each, timed when they arrive.
	ByteMarks
	// NoMarks is for an arm whose payload has neither the host's clock nor a
	// port.
	NoMarks
)
