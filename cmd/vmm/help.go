package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"microvm/vmm"
)

// helpWidth is the width of help texts in characters: that of a terminal.
const helpWidth = 100

func helpCommand() *command {
	return &command{
		name:    "help",
		summary: "tell about a command",
		usage:   "help [COMMAND]",
		about:   "Without COMMAND, lists the commands.",
		setUp: func(f *flags) runner {
			return func(a *app, args []string) error {
				text, err := helpText(args)
				if err != nil {
					return err
				}
				_, err = io.WriteString(a.stdout, text)
				return err
			}
		},
	}
}

func helpText(args []string) (string, error) {
	if len(args) == 0 {
		return overview(), nil
	}
	c := findCommand(args[0])
	if c == nil {
		return "", unknown("command", args[0], commandNames())
	}
	return c.help(), noArguments(args[1:])
}

// overview is the help of vmm itself.
func overview() string {
	var b strings.Builder
	b.WriteString("vmm starts unmodified Linux kernels in virtual machines, on hosts with KVM.\n\nCommands:\n")
	for _, c := range commands() {
		fmt.Fprintf(&b, "  %-11s %s\n", c.name, c.summary)
	}
	b.WriteString(`
A first boot:
  vmm doctor
  vmm boot --kernel /boot/vmlinuz-6.1.0-amd64 --initrd init.cpio

"vmm help COMMAND" tells more about each.
`)
	return b.String()
}

// help is the command's own help.
func (c *command) help() string {
	var b strings.Builder
	fmt.Fprintf(&b, "vmm %s: %s\n\nUsage:\n  vmm %s\n", c.name, c.summary, c.usage)
	if c.about != "" {
		fmt.Fprintf(&b, "\n%s\n", strings.TrimSpace(c.about))
	}
	f := newFlags()
	c.setUp(f)
	for _, g := range f.groups {
		fmt.Fprintf(&b, "\n%s:\n%s", g.title, g.FlagUsagesWrapped(helpWidth))
	}
	if len(c.examples) > 0 {
		b.WriteString("\nExamples:\n")
		for _, e := range c.examples {
			fmt.Fprintf(&b, "  # %s\n  %s\n", e[1], e[0])
		}
	}
	b.WriteString("\nExit status:\n")
	for _, s := range c.allStatuses() {
		fmt.Fprintf(&b, "  %-4d %s\n", s.status, s.means)
	}
	return b.String()
}

// allStatuses are the exit statuses of the command, in order: its own, and
// those of every command that it says nothing else about.
func (c *command) allStatuses() []exitStatus {
	statuses := slices.Clone(c.statuses)
	for _, common := range []exitStatus{
		{0, "done"},
		{vmm.StatusFailure, "something failed; the message says what"},
		{vmm.StatusUsage, "wrong flags or arguments"},
	} {
		if !slices.ContainsFunc(c.statuses, func(s exitStatus) bool { return s.status == common.status }) {
			statuses = append(statuses, common)
		}
	}
	slices.SortFunc(statuses, func(a, b exitStatus) int { return cmp.Compare(a.status, b.status) })
	return statuses
}
