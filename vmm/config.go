package vmm

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"microvm/boot"
	"microvm/devices/virtio/console"
)

// Sizes in bytes.
const (
	KiB = 1 << 10
	MiB = 1 << 20
	GiB = 1 << 30
)

// Limits of a machine, and what it has if nothing is said.
const (
	// MinMemory is what the boot data below 1 MiB and the smallest kernels
	// need. Whether a given kernel fits is for package boot to say.
	MinMemory = 2 * MiB
	// MaxMemory is more than one guest has had so far, and little enough for
	// a typing error to be noticed. A processor may have fewer physical
	// addresses (SDM 3A §4.1.4, AMD64 APM 2 §5.3); New checks that.
	MaxMemory     = 512 * GiB
	DefaultMemory = 512 * MiB
	// MaxCPUs is the number of APIC IDs below the broadcast ID of an xAPIC
	// (SDM 3A §11.6.1). KVM may allow fewer.
	MaxCPUs     = 254
	DefaultCPUs = 1
)

// A ConsoleKind says which device of the guest the console is at the other end
// of.
type ConsoleKind string

// The kinds of consoles.
const (
	// ConsoleSerial is the serial port, ttyS0.
	ConsoleSerial ConsoleKind = "serial"
	// ConsoleVirtio is a virtio console, hvc0, and the serial port until the
	// guest has a driver for that.
	ConsoleVirtio ConsoleKind = "virtio"
	// ConsoleOff is none: nobody reads what the guest sends to its serial
	// port, which is always there.
	ConsoleOff ConsoleKind = "off"
)

// ConsoleKinds are all of them.
var ConsoleKinds = []string{string(ConsoleSerial), string(ConsoleVirtio), string(ConsoleOff)}

// Cmdline is the kernel command line if none is given: the console, and no
// waiting for ever after a panic. EarlyCmdline comes last.
func (k ConsoleKind) Cmdline() string {
	const rest = "panic=-1"
	switch k {
	case ConsoleOff:
		return rest
	case ConsoleVirtio:
		// tty0, the VGA screen that there is not, gives the first process a
		// terminal while hvc0 has no driver, which is a module in most
		// kernels.
		return "console=tty0 console=hvc0 " + rest
	}
	return "console=ttyS0 " + rest
}

// EarlyCmdline is what belongs at the end of the kernel's parameters. The early
// console shows the kernel's messages until the preferred one, which is the last,
// registers: then Linux takes it away, and does not repeat them. As soon as Linux
// has read of it, it shows all messages so far, as many as the parameters before
// it, such as quiet, let through.
func (k ConsoleKind) EarlyCmdline() string {
	if k != ConsoleVirtio {
		return ""
	}
	return "earlycon=uart8250,io,0x3f8"
}

// A Config says what machine to build and what to start in it.
type Config struct {
	Kernel  string     // path of the kernel image
	Initrd  string     // path of the initial RAM disk, "" for none
	Cmdline string     // kernel command line, "" for none
	Entry   boot.Entry // how to enter the kernel; "" means auto
	Memory  uint64     // RAM in bytes, a multiple of 4 KiB
	CPUs    int        // number of vCPUs

	// CacheDir keeps decompressed kernels between starts; "" turns the
	// cache off.
	CacheDir string

	Console Console

	Disks       []Disk   // virtio block devices
	RNG         bool     // a virtio entropy device
	PackedRings bool     // virtio devices offer packed virtqueues as well as split ones
	Nets        []Net    // virtio network devices
	Vsock       *Vsock   // a virtio socket device, nil for none
	Balloon     *Balloon // a virtio memory balloon, nil for none

	Trace *Trace // hooks, nil for none

	// TimeExits measures how long each exit takes the monitor, for Stats;
	// it costs two clock readings an exit.
	TimeExits bool

	// Started is when the process was started, the zero of the timeline;
	// the zero time means when New was called.
	Started time.Time
}

// A Console is the other end of the guest's console.
type Console struct {
	Kind ConsoleKind // "" means ConsoleSerial
	// Ports are the names of generic ports that a virtio console has
	// besides, each another: see Machine.Port. A guest pays for having
	// any with some messages at its start.
	Ports []string
	// In is what the guest reads, nil for nothing. At its end the guest
	// gets the terminal character EOT (Ctrl-D).
	In ContextReader
	// Out gets what the guest writes, nil to discard it. If it fails, the
	// machine stops: a guest whose output nobody can see is not wanted.
	Out ContextWriter
	// Terminal says that a person's terminal of so many Columns and Rows
	// (0 if unknown) is there, not a file or a pipe. Machine.Resize changes
	// its size.
	Terminal      bool
	Columns, Rows uint16
}

// A ContextReader is a reader that can be interrupted: Read blocks until there
// is something to read or ctx is done, and then returns ctx's error. What it
// did not return it has not read, so that the next life of a guest that
// reboots gets it.
type ContextReader interface {
	Read(ctx context.Context, p []byte) (n int, err error)
}

// A ContextWriter is a writer that can be interrupted: Write blocks until all
// of p is written or ctx is done, and then returns ctx's error. A terminal that
// its user has stopped (Ctrl-S) or a full pipe must not keep a monitor whose
// guest has ended.
type ContextWriter interface {
	Write(ctx context.Context, p []byte) (n int, err error)
}

// A ConfigError is all that is wrong with a configuration, field by field, so
// that a user mends it at once and not one start at a time.
type ConfigError struct {
	Problems []FieldError
}

// A FieldError is one thing that is wrong: the field's name as the command
// line has it, such as "memory", and the problem with what would be right.
type FieldError struct {
	Field   string
	Problem string
}

func (e FieldError) Error() string { return e.Field + ": " + e.Problem }

func (e *ConfigError) Error() string {
	var lines []string
	for _, p := range e.Problems {
		lines = append(lines, p.Error())
	}
	return strings.Join(lines, "\n")
}

// Check reports everything that is wrong with c that can be seen without
// opening a file, as a [*ConfigError], or nil.
func (c *Config) Check() error {
	var e ConfigError
	wrong := func(field, format string, args ...any) {
		e.Problems = append(e.Problems, FieldError{field, fmt.Sprintf(format, args...)})
	}
	if c.Kernel == "" {
		wrong("kernel", "no kernel image given; on Debian try /boot/vmlinuz-*-cloud-amd64")
	}
	if c.Memory < MinMemory || c.Memory > MaxMemory {
		wrong("memory", "%d bytes; must be from %d MiB to %d GiB", c.Memory, MinMemory/MiB, MaxMemory/GiB)
	} else if c.Memory%(4*KiB) != 0 {
		wrong("memory", "%d bytes are not a whole number of 4 KiB pages", c.Memory)
	}
	if c.CPUs < 1 || c.CPUs > MaxCPUs {
		wrong("cpus", "%d; must be from 1 to %d", c.CPUs, MaxCPUs)
	}
	c.checkDisks(wrong)
	c.checkNets(func(problem error) { wrong("net", "%v", problem) })
	c.Console.check(func(format string, args ...any) { wrong("console", format, args...) })
	if c.Vsock != nil {
		c.Vsock.check(func(problem error) { wrong("vsock", "%v", problem) })
	}
	if c.Balloon != nil {
		if problem := checkBalloonTarget(c.Balloon.Target, c.Memory); problem != "" {
			wrong("balloon", "%s", problem)
		}
	}
	if len(e.Problems) > 0 {
		return &e
	}
	return nil
}

// check passes what is wrong with c to wrong.
func (c *Console) check(wrong func(format string, args ...any)) {
	if c.Kind != "" && !slices.Contains(ConsoleKinds, string(c.Kind)) {
		wrong("%q; must be one of %s", c.Kind, strings.Join(ConsoleKinds, ", "))
	}
	if n := len(c.Ports); n > 0 && c.Kind != ConsoleVirtio {
		wrong("%q has no ports; must be %s", c.Kind, ConsoleVirtio)
	} else if n >= console.MaxPorts {
		wrong("%d ports; must be less than %d", n, console.MaxPorts)
	}
	for i, name := range c.Ports {
		switch {
		case name == "":
			wrong("port %d has no name", i+1)
		case slices.Contains(c.Ports[:i], name):
			wrong("two ports are called %q", name)
		}
	}
}
