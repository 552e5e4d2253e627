package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/compare/report"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/host"
	"microvm/cmd/vmm/internal/option"
	"microvm/vmm"
)

// What compare can be asked for instead of a run.
const (
	compareArms   = "arms"
	compareReport = "report"
	compareDiff   = "diff"
)

var compareActions = []string{compareArms, compareReport, compareDiff}

var compareCommand = &command{
	name:    "compare",
	summary: "measure what a payload costs in virtual machines, containers and processes",
	usage:   "compare [arms|report DIR|diff DIR DIR] [FLAGS] [-- COMMAND...]",
	about: `Runs the same payload in every arm that this host has, in random order and many
times, and writes what it measures, sample by sample, and a report of it:

  run.json       the host, the arms, the inputs with their SHA-256
  samples.jsonl  every sample
  report.html    verdicts, tables and plots in a page that needs no network
  report.md      the same for a text

arms    lists the arms, why one cannot be used, and how to install it
report  writes the report of a run again
diff    compares two runs

The payload is a program of this project's, alone in its root directory. With
--rootfs and a COMMAND it is that command in a copy of that directory.

Ctrl-C ends a run and keeps what is done; so does a crash. The same command line
goes on with it.`,
	words: compareActions,
	examples: [][2]string{
		{"vmm compare --quick --out first", "a first look"},
		{"vmm compare arms", "what this host can compare"},
		{"vmm compare --only start,memory --arms process,crun,vmm --kernel small=bzImage", "two experiments with three arms"},
		{"vmm compare --rootfs ./debian -- /usr/bin/python3 -c 'import json'", "a program of yours"},
		{"vmm compare diff first second", "has anything changed?"},
	},
	statuses: []exitStatus{
		{0, "done; arms that failed are in the report"},
		{vmm.StatusStopped, "stopped by a signal (INT, TERM, HUP, QUIT); the same command goes on"},
		{statusSignal, "plus its number: a second signal, which ends vmm at once"},
	},
	setUp: func(f *flags) runner {
		o := newCompareOptions()
		o.declare(f)
		return func(a *app, args []string) error { return a.compare(f, o, args) }
	},
}

// compareOptions are what the flags of compare say.
type compareOptions struct {
	out              string
	only, skip, arms []string
	quick, full      bool
	instances, seed  int
	time             time.Duration
	kernels          []session.Kernel
	memory           uint64
	rootfs           string
	payload          string
	initrd, drivers  string
	source           string
	distribution     string
	dropCaches       bool
	asJSON           bool
}

func newCompareOptions() *compareOptions {
	return &compareOptions{out: "vmm-compare", memory: 128 << 20}
}

func (o *compareOptions) declare(f *flags) {
	f.group("What to measure")
	f.listVar(&o.only, experimentNames(), "only", "of the experiments these: `LIST` of "+strings.Join(experimentNames(), ", "))
	f.listVar(&o.skip, experimentNames(), "skip", "all experiments but those of `LIST`")
	f.listVar(&o.arms, armNames(), "arms", "of the arms these: `LIST` of "+strings.Join(armNames(), ", "))
	f.boolVar(&o.quick, "quick", "few rounds: minutes, not an hour")
	f.boolVar(&o.full, "full", "many rounds and instances: hours")
	f.countVar(&o.instances, "instances", "`NUMBER` of instances at once, at most; 0: as --quick and --full have it")
	f.durationVar(&o.time, "time", "no more rounds of an experiment after `DURATION`, such as 10m, but always as many as are needed to say anything; 0s: as --quick and --full have it")
	f.countVar(&o.seed, "seed", "`NUMBER` that decides the order of starts; 0: any")
	f.boolVar(&o.dropCaches, "drop-caches", "cold starts empty the page cache of the whole host; on an emulated host they do anyway (as root)")

	f.group("What to run")
	f.optionsVar("kernel", "guests' kernel, as `NAME=FILE`; may be repeated, and the first is that of other monitors; by default this host's own", o.addKernel)
	f.sizeVar(&o.memory, "memory", "RAM `SIZE` of each guest")
	f.pathVar(&o.rootfs, "rootfs", "run in a copy of `DIRECTORY`")
	f.pathVar(&o.distribution, "distribution", "a whole system, to tell what of its size on disk a guest needs: `FILE`, its disk image, or its directory; by default this host's basic Debian packages")
	f.pathVar(&o.payload, "payload", "the payload is `FILE`, not built with Go from the source tree")
	f.pathVar(&o.initrd, "initrd", "`FILE` of vmm initrd build --minimal, not built with Go from the source tree")
	f.pathVar(&o.drivers, "drivers", "`FILE` of vmm initrd build --minimal --modules for guests that are given a disk or a network, if --initrd is given and kernels have their drivers as modules")
	f.pathVar(&o.source, "source", "this project's source tree is `DIRECTORY`, not the working directory")

	f.group("What to write")
	f.pathVar(&o.out, "out", "keep the run in `DIRECTORY`")
	f.boolVar(&o.asJSON, "json", "for a program (arms)")
}

// addKernel is an occurrence of --kernel.
func (o *compareOptions) addKernel(_ *option.Set, text string) error {
	name, file, ok := strings.Cut(text, "=")
	switch {
	case !ok || name == "" || file == "":
		return errors.New("must be NAME=FILE, such as small=bzImage")
	case strings.Trim(name, kernelNameLetters) != "":
		return errors.New("the name must be small letters, digits, '.' and '-'")
	case slices.ContainsFunc(o.kernels, func(k session.Kernel) bool { return k.Name == name }):
		return fmt.Errorf("there is a kernel %s already", name)
	}
	o.kernels = append(o.kernels, session.Kernel{Name: name, File: file})
	return nil
}

// kernelNameLetters are those that an arm's name can have.
const kernelNameLetters = "abcdefghijklmnopqrstuvwxyz0123456789.-"

func experimentNames() []string {
	var names []string
	for _, e := range experiment.All {
		names = append(names, e.Name)
	}
	return names
}

func armNames() []string {
	var names []string
	for _, a := range arm.All() {
		names = append(names, a.Name())
	}
	return names
}

// compare runs the subcommand.
func (a *app) compare(f *flags, o *compareOptions, args []string) error {
	words, command := args, []string(nil)
	if n := f.ArgsLenAtDash(); n >= 0 {
		words, command = args[:n], args[n:]
	}
	if len(words) > 0 {
		return a.compareAction(f, o, words, command)
	}
	if err := f.check(o.wrong(command)...); err != nil {
		return err
	}
	return a.compareRun(o, command)
}

// compareAction does what is not a run.
func (a *app) compareAction(f *flags, o *compareOptions, words, command []string) error {
	if command != nil {
		return usagef("a command is for a run, not for %s", words[0])
	}
	if err := f.check(); err != nil {
		return err
	}
	action, dirs := words[0], words[1:]
	if f.NFlag() > 0 && action != compareArms && slices.Contains(compareActions, action) {
		return usagef("compare %s takes no flags", action)
	}
	switch {
	case action == compareArms && len(dirs) == 0:
		return a.compareArms(o)
	case action == compareReport && len(dirs) == 1:
		return report.Render(a.stdout, dirs[0])
	case action == compareDiff && len(dirs) == 2:
		return report.Diff(a.stdout, dirs[0], dirs[1])
	case slices.Contains(compareActions, action):
		return usagef("there is: compare arms, compare report DIR, compare diff DIR DIR")
	}
	return unknown("action", action, compareActions)
}

// wrong is what is wrong with the flags' values together.
func (o *compareOptions) wrong(command []string) []vmm.FieldError {
	var wrong []vmm.FieldError
	say := func(field, format string, args ...any) {
		wrong = append(wrong, vmm.FieldError{Field: field, Problem: fmt.Sprintf(format, args...)})
	}
	if o.quick && o.full {
		say("quick", "is not --full; leave one of the two out")
	}
	if o.asJSON {
		say("json", "is for compare arms; a run's raw data are in its directory")
	}
	if o.instances < 0 {
		say("instances", "%d; must be 1 at least", o.instances)
	}
	if o.seed < 0 {
		say("seed", "%d; must be 0 at least", o.seed)
	}
	switch {
	case command == nil:
	case len(command) == 0:
		say("--", "there is no command after it")
	case o.rootfs == "":
		say("rootfs", "missing: the directory that has %s and all that it needs", command[0])
	case !filepath.IsAbs(command[0]):
		say("--", "%s: must be a path from the root directory on, such as /bin/%s", command[0], filepath.Base(command[0]))
	}
	for _, name := range o.only {
		if slices.Contains(o.skip, name) {
			say("skip", "%s is in --only, too", name)
		}
	}
	return wrong
}

// compareArms lists the arms.
func (a *app) compareArms(o *compareOptions) error {
	env, err := o.env()
	if err != nil {
		return err
	}
	if env.GuestInit == "" {
		env.GuestInit = env.VMM // some file: for a run one is built
	}
	arms := session.Probe(context.Background(), env, arm.All())
	if o.asJSON {
		return writeJSON(a.stdout, arms)
	}
	_, err = io.WriteString(a.stdout, armsText(arms))
	return err
}

// armsText is the list for a person.
func armsText(arms []session.Arm) string {
	var rows, missing []string
	for _, r := range arms {
		state := "yes"
		if r.Problem != "" {
			state = "no"
			missing = append(missing, fmt.Sprintf("%s: %s\n  %s\n", r.Name, r.Problem, r.Install))
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.Name, r.Kind, state, firstLine(r.Version), r.Summary))
	}
	return table("arm\tkind\tusable\tversion\twhat it is", rows) + strings.Join(missing, "")
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// env is where arms find what they need.
func (o *compareOptions) env() (*arm.Env, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if len(o.kernels) == 0 {
		o.kernels = hostKernel()
	}
	e := &arm.Env{VMM: self, GuestInit: o.initrd, GuestDrivers: o.drivers, Memory: o.memory}
	if len(o.kernels) > 0 {
		e.Kernel = o.kernels[0].File
	}
	return e, nil
}

// hostKernel is the kernel that runs here, if this user may read its image.
func hostKernel() []session.Kernel {
	file := "/boot/vmlinuz-" + host.Read(os.DirFS("/")).Kernel
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	f.Close()
	return []session.Kernel{{Name: "host", File: file}}
}

// session makes of the flags what a run is made of.
func (o *compareOptions) session(command []string) (*session.Options, error) {
	env, err := o.env()
	if err != nil {
		return nil, err
	}
	s := &session.Options{
		Dir: o.out, Argv: os.Args, Version: strings.TrimSpace(readVersion().String()),
		Arms: arm.All(), Only: o.arms,
		Effort: o.effort(), Seed: uint64(o.seed), Env: *env,
		Kernels: o.kernels, Program: o.payload, Source: o.source, Rootfs: o.rootfs, Command: command,
		Distribution: o.distribution,
		DropCaches:   os.Geteuid() == 0 && (o.dropCaches || host.Read(os.DirFS("/")).Reality() == host.Emulated),
		Guard:        []string{"/proc/self/exe", compareGuardCommand},
	}
	for _, e := range experiment.All {
		if (len(o.only) == 0 || slices.Contains(o.only, e.Name)) && !slices.Contains(o.skip, e.Name) {
			s.Experiments = append(s.Experiments, e)
		}
	}
	return s, nil
}

// effort is how much is measured.
func (o *compareOptions) effort() experiment.Effort {
	effort := experiment.Normal
	switch {
	case o.quick:
		effort = experiment.Quick
	case o.full:
		effort = experiment.Full
	}
	if o.instances > 0 {
		effort.Instances = o.instances
	}
	if o.time > 0 {
		effort.Time = o.time
	}
	return effort
}
