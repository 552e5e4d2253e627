// Vmm starts unmodified Linux kernels in virtual machines of their own, on
// hosts with KVM.
//
//	vmm boot --kernel bzImage --initrd init.cpio
//
// Each subcommand has a file. What it can be given is written down once, as
// flags with their texts; help, completion and the keys of a configuration file
// all come from there.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/suggest"
	"microvm/cmd/vmm/internal/terminal"
	"microvm/vmm"
)

// guardCommand is the hidden subcommand that restores a terminal when the
// process that made it raw has died.
const guardCommand = "terminal-guard"

// compareGuardCommand is the hidden subcommand that ends what a comparison has
// started when it has died.
const compareGuardCommand = "compare-guard"

func main() {
	os.Exit(newApp().run(os.Args[1:]))
}

// An app is what the subcommands get from their surroundings; tests give them
// others.
type app struct {
	stdin, stdout, stderr *os.File
	// messages goes to stderr, and is right in a raw terminal too.
	messages *terminal.Messages
	started  time.Time
	// guard is the command line of the terminal's guard.
	guard []string

	newMachine func(vmm.Config) (machine, error)
}

func newApp() *app {
	return &app{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr,
		messages:   terminal.NewMessages(os.Stderr),
		started:    started,
		guard:      []string{"/proc/self/exe", guardCommand},
		newMachine: func(c vmm.Config) (machine, error) { return vmm.New(c) },
	}
}

// A command is a subcommand of vmm.
type command struct {
	name    string
	summary string // one line, for the list of commands
	usage   string // what follows "vmm" in its synopsis
	about   string // paragraphs, for its help
	words   []string
	// examples are command lines and what they do.
	examples [][2]string
	// statuses are exit statuses beyond those that all commands have.
	statuses []exitStatus
	// setUp declares the command's flags and returns what runs it once they
	// are parsed.
	setUp func(f *flags) runner
}

// A runner runs a subcommand with the arguments that are left.
type runner func(a *app, args []string) error

// An exitStatus is what it means that vmm exits with one.
type exitStatus struct {
	status int
	means  string
}

// commands are all subcommands in the order of their list. It is a function
// because help and completion are among them and go through them.
func commands() []*command {
	return []*command{
		bootCommand, compareCommand, inspectCommand, doctorCommand, cacheCommand, initrdCommand,
		versionCommand, completionCommand(), helpCommand(),
	}
}

// A usageError is a mistake in how vmm was called: one line for each problem.
type usageError struct {
	command  string // subcommand, "" if there is none
	problems []string
}

func (e *usageError) Error() string { return strings.Join(e.problems, "\n") }

func usagef(format string, args ...any) error {
	return &usageError{problems: []string{fmt.Sprintf(format, args...)}}
}

// A statusError ends vmm with an exit status of its own. What there is to say
// has been said.
type statusError int

func (e statusError) Error() string { return fmt.Sprintf("exit status %d", int(e)) }

// run runs vmm with args and returns its exit status.
func (a *app) run(args []string) int {
	name, err := a.dispatch(args)
	if err == nil {
		return 0
	}
	var status statusError
	if errors.As(err, &status) {
		return int(status)
	}
	a.say(name, err)
	var usage *usageError
	var wrong *vmm.ConfigError
	if errors.As(err, &usage) || errors.As(err, &wrong) {
		fmt.Fprintf(a.messages, "%s\n", strings.TrimSpace("Try: vmm help "+name))
		return vmm.StatusUsage
	}
	return vmm.StatusFailure
}

// say writes what the subcommand of that name has to say of its end, line by line.
func (a *app) say(name string, err error) {
	prefix := strings.TrimSpace("vmm " + name)
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintf(a.messages, "%s: %s\n", prefix, strings.TrimRight(line, "\n"))
	}
}

// dispatch runs the subcommand that args name. It returns that name as far as
// there is such a subcommand.
func (a *app) dispatch(args []string) (name string, err error) {
	if len(args) == 0 {
		return "", usagef("no command given; the commands are %s", strings.Join(commandNames(), ", "))
	}
	switch args[0] {
	case guardCommand:
		terminal.Guard(a.stdin, a.stdout)
		return "", nil
	case compareGuardCommand:
		return "", arm.RunGuard(a.stdin)
	case "-h", "--help":
		args = append([]string{"help"}, args[1:]...)
	case "--version":
		args = append([]string{"version"}, args[1:]...)
	}
	c := findCommand(args[0])
	if c == nil {
		return "", unknown("command", args[0], commandNames())
	}
	f := newFlags()
	run := c.setUp(f)
	rest, err := f.parse(args[1:])
	if errors.Is(err, errHelp) {
		_, err := io.WriteString(a.stdout, c.help())
		return c.name, err
	}
	if err != nil {
		return c.name, err
	}
	return c.name, run(a, rest)
}

func findCommand(name string) *command {
	all := commands()
	i := slices.IndexFunc(all, func(c *command) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return all[i]
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// unknown is the error for a name that is not one of names.
func unknown(kind, name string, names []string) error {
	if near := suggest.Nearest(name, names); near != "" {
		return usagef("no %s %q; did you mean %q?", kind, name, near)
	}
	return usagef("no %s %q; there are %s", kind, name, strings.Join(names, ", "))
}

// noArguments is the error for arguments to a command that takes none.
func noArguments(args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("unexpected argument %q", args[0])
}
