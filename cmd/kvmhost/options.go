package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"

	"microvm/cmd/internal/size"
)

// options is kvmhost's command line.
type options struct {
	cpus      int
	memoryMiB int
	shares    []string // absolute
	kernel    string   // empty: find one
	modules   string   // empty: the usual place
	kernelLog string   // empty: keep it in memory
	emulated  bool
	direct    bool
	verbose   bool
	command   []string
}

const usage = `Usage: kvmhost [flags] [--] COMMAND [ARGUMENT...]

Runs COMMAND where KVM is real. On a host whose processor has VMX or SVM that
is right here. Elsewhere it is a throw-away host that QEMU emulates: there the
command sees this host's files under the same names, but for /proc, /sys, /dev
and /run, which are the throw-away host's own (/dev/shm and /run are empty). What
it writes is gone afterwards, except in the shared directories: the checkout (or
Go module) around the working directory, or else the working directory itself.

Standard streams, terminal, environment, working directory and exit status are
COMMAND's own. Exit statuses of kvmhost itself: 2 for a wrong command line,
125 if it failed, 126 if COMMAND cannot be run, 127 if there is none; 128+N if
signal N ended COMMAND.

To run Go tests, with kvmhost in PATH or by its absolute path (go test changes
directory): go test -exec kvmhost ./...

Flags:
`

// errHelp says that help was asked for and given.
var errHelp = errors.New("help was asked for")

// parseOptions reads the command line. Help, if asked for, goes to out.
func parseOptions(args []string, out io.Writer) (*options, error) {
	o := &options{}
	var memory string
	var help bool
	flags := pflag.NewFlagSet("kvmhost", pflag.ContinueOnError)
	flags.SetInterspersed(false) // what follows the command is the command's
	flags.SortFlags = false
	flags.Usage = func() {}
	flags.IntVar(&o.cpus, "cpus", defaultCPUs, "`processors` of the throw-away host; with more than 1 QEMU loses a guest now and then")
	flags.StringVar(&memory, "memory", "4G", "its memory, a `size` such as 4G or 512MiB")
	flags.StringArrayVar(&o.shares, "share", nil, "share this `directory` too, writable; may be repeated")
	flags.StringVar(&o.kernel, "kernel", "", "kernel `file` (bzImage or vmlinux); default: the newest in /boot that will do")
	flags.StringVar(&o.modules, "modules", "", "the kernel's module `directory`; default: /lib/modules/VERSION")
	flags.StringVar(&o.kernelLog, "kernel-log", "", "write the throw-away host's kernel log to this `file`")
	flags.BoolVar(&o.emulated, "force-emulated", false, "use a throw-away host even if KVM is real here")
	flags.BoolVar(&o.direct, "direct", false, "run the command right here, whatever KVM is here")
	flags.BoolVarP(&o.verbose, "verbose", "v", false, "say on standard error what is done, and when")
	flags.BoolVarP(&help, "help", "h", false, "show this help")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if help {
		fmt.Fprint(out, usage+flags.FlagUsages())
		return nil, errHelp
	}
	o.command = flags.Args()
	var memoryErr error
	o.memoryMiB, memoryErr = parseMemory(memory)
	return o, errors.Join(memoryErr, o.check())
}

// check reports all that is wrong with the options, and makes the shared
// directories absolute.
func (o *options) check() error {
	var errs []error
	if len(o.command) == 0 {
		errs = append(errs, errors.New("no COMMAND is given"))
	}
	if o.cpus < 1 || o.cpus > maxCPUs {
		errs = append(errs, fmt.Errorf("--cpus %d: it must be from 1 to %d", o.cpus, maxCPUs))
	}
	if o.emulated && o.direct {
		errs = append(errs, errors.New("--force-emulated and --direct exclude each other"))
	}
	if o.modules != "" && o.kernel == "" {
		errs = append(errs, errors.New("--modules goes with --kernel"))
	}
	for i, dir := range o.shares {
		abs, err := shareable(dir)
		if err != nil {
			errs = append(errs, fmt.Errorf("--share %s: %w", dir, err))
		}
		o.shares[i] = abs
	}
	return errors.Join(errs...)
}

// defaultCPUs is how many processors a throw-away host has. QEMU runs each of
// several on a thread of its own, and what one writes to code or to page tables
// does not always reach another in time: with 2 processors of QEMU 7.2 one guest
// of several vCPUs in some 75 died, or the host hung. One processor runs the
// same guests, a sixth slower.
const defaultCPUs = 1

// maxCPUs is what QEMU's machine type takes.
const maxCPUs = 255

// minMemoryMiB is what the throw-away host's kernel and its files need before
// the command gets any.
const minMemoryMiB = 512

// parseMemory returns the whole MiB in a size such as 512M or 4G.
func parseMemory(text string) (int, error) {
	n, err := size.Parse(text)
	mib := n >> 20
	switch {
	case err != nil:
		return 0, fmt.Errorf("--memory %s: %w", text, err)
	case mib > math.MaxInt32:
		return 0, fmt.Errorf("--memory %s: larger than any computer's memory", text)
	case mib < minMemoryMiB:
		return 0, fmt.Errorf("--memory %s: it must be at least %dM", text, minMemoryMiB)
	}
	return int(mib), nil
}

// shareable returns the absolute path of dir if it is a directory that can be
// shared.
func shareable(dir string) (string, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if abs, err = filepath.EvalSymlinks(abs); err != nil {
		return "", err
	}
	info, err := os.Stat(abs)
	if err != nil {
		return "", err
	}
	if !info.IsDir() {
		return "", errors.New("it is not a directory")
	}
	if !maybeShared(abs) {
		return "", errors.New("the throw-away host has its own")
	}
	return abs, nil
}
