package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"microvm/boot"
	"microvm/cmd/vmm/internal/cmdline"
	"microvm/cmd/vmm/internal/terminal"
	"microvm/vmm"
)

var bootCommand = &command{
	name:    "boot",
	summary: "start a kernel in a virtual machine",
	usage:   "boot --kernel FILE [--initrd FILE] [FLAGS] [-- ARGUMENT...]",
	about: `The guest's console is standard input and output. In a terminal:

  ` + strings.ReplaceAll(strings.TrimSpace(terminal.Help), "\n", "\n  ") + `

Otherwise the guest reads what comes from the pipe or file. Its end reaches the
guest as Ctrl-D, at which a shell ends.

With --console virtio input goes to hvc0 while a driver has opened it, and else to
the serial port; output of both is shown. A --cmdline of your own needs
"` + vmm.ConsoleVirtio.Cmdline() + `", and at its end
"` + vmm.ConsoleVirtio.EarlyCmdline() + `", or what you want of it: the first
messages are shown as "quiet" and "loglevel=" before that word say.

In OPTIONS, as of --disk, a comma that belongs to a value is written twice.

ARGUMENTs after "--" go to the guest's init. A kernel takes 31 of them, without
double quotes or line breaks.

A configuration file has the names of flags as its keys, in TOML or JSON:

  kernel = "bzImage"
  memory = "1G"
  append = ["quiet", "ro"]

Flags on the command line win. Relative paths count from the file's directory.`,
	examples: [][2]string{
		{"vmm boot --kernel bzImage --initrd init.cpio", "a shell in a guest"},
		{"vmm boot --kernel bzImage --initrd init.cpio --cpus 4 --memory 4G", "a larger guest"},
		{"vmm boot --kernel bzImage --initrd init.cpio --console virtio", "a faster console, whose size follows the terminal's"},
		{"vmm boot --kernel bzImage --disk root.img,overlay=tmp --append root=/dev/vda", "a disk that stays as it is"},
		{"vmm boot --kernel bzImage --initrd init.cpio --net user,hostfwd=tcp::8080-:80 --append ip=dhcp",
			"a network, and port 8080 of this host leads to port 80 of the guest"},
		{"echo 'uname -a' | vmm boot --kernel bzImage --initrd init.cpio --append quiet", "run commands from a pipe"},
		{"vmm boot --kernel bzImage --initrd init.cpio --stats=json --stats-file stats.json", "count what the guest makes the monitor do"},
	},
	statuses: []exitStatus{
		{0, "the guest powered off; or the status that its payload reported"},
		{vmm.StatusFailure, "the monitor failed; the message says why"},
		{vmm.StatusRebooted, "the guest rebooted, and --on-reboot is exit"},
		{vmm.StatusPanicked, "the guest's kernel panicked"},
		{vmm.StatusTripleFault, "a processor of the guest shut down (triple fault)"},
		{vmm.StatusInternalError, "KVM could not run the guest any further"},
		{vmm.StatusStopped, "Ctrl-A x, or a signal (INT, TERM, HUP, QUIT)"},
		{128, "plus its number: a second signal, which ends vmm at once"},
	},
	setUp: func(f *flags) runner {
		o := newBootOptions()
		o.declare(f)
		return func(a *app, args []string) error { return a.boot(f, o, args) }
	},
}

// What --on-reboot can be.
const (
	rebootExit    = "exit"
	rebootRestart = "restart"
)

// What --rings can be.
const (
	ringsSplit  = "split"
	ringsPacked = "packed"
)

// bootOptions are what the flags of boot say.
type bootOptions struct {
	configFile string

	kernel, initrd string
	cmdline        string
	appended       []string
	entry          string

	memory   uint64 // bytes
	cpus     int
	onReboot string

	disks   []vmm.Disk
	rng     bool
	rings   string
	nets    []vmm.Net
	pcap    string
	vsock   *vmm.Vsock
	balloon *vmm.Balloon

	console                     string
	consoleInput, consoleOutput string

	stats, statsFile string
	trace            []string
	traceFile        string

	cacheDir string
	noCache  bool
}

func newBootOptions() *bootOptions {
	return &bootOptions{
		cmdline: vmm.ConsoleSerial.Cmdline(), entry: "auto", console: string(vmm.ConsoleSerial),
		memory: vmm.DefaultMemory, cpus: vmm.DefaultCPUs, onReboot: rebootExit,
		rings: ringsSplit,
	}
}

func (o *bootOptions) declare(f *flags) {
	f.group("What to boot")
	f.pathVar(&o.kernel, "kernel", "kernel image `FILE`: a bzImage or a vmlinux")
	f.pathVar(&o.initrd, "initrd", "initial RAM disk `FILE`: a cpio archive, compressed or not")
	f.stringVar(&o.cmdline, "cmdline", "kernel command line `TEXT`; another --console has another default")
	f.repeatVar(&o.appended, "append", "`TEXT` to add to the kernel command line; may be repeated")
	f.choiceVar(&o.entry, kernelEntries(), "kernel-entry",
		"`HOW` to enter the kernel: auto, elf (after decompressing it here), pvh, linux64 or linux32 (by its own decompressor)")
	f.pathVar(&o.configFile, "config", "read settings from `FILE`")

	f.group("The machine")
	f.sizeVar(&o.memory, "memory", "RAM `SIZE`, such as 512M or 4G")
	f.countVar(&o.cpus, "cpus", "`NUMBER` of processors")
	f.choiceVar(&o.onReboot, []string{rebootExit, rebootRestart}, "on-reboot", "`WHAT` to do when the guest reboots: exit or restart")

	f.group("Virtio devices")
	f.optionsVar("disk", diskHelp, o.addDisk)
	f.boolVar(&o.rng, "rng", "an entropy device: random numbers from the host, at most 1 MiB a second")
	f.optionsVar("net", netHelp, o.addNet)
	f.pathVar(&o.pcap, "pcap", "write the frames of the only network interface to `FILE`, for tcpdump -r or Wireshark; it is overwritten")
	f.optionsVar("vsock", vsockHelp, o.setVsock)
	f.choiceVar(&o.rings, []string{ringsSplit, ringsPacked}, "rings",
		"`FORM` of the rings between driver and device: split, or packed if the driver can")
	f.optionsVar("balloon", balloonHelp, o.setBalloon)

	f.group("The console")
	f.choiceVar(&o.console, vmm.ConsoleKinds, "console",
		"`DEVICE` of the guest that it is: serial (ttyS0), virtio (hvc0, faster, follows the terminal's size; "+
			"until the guest has its driver, the serial port) or off")
	f.pathVar(&o.consoleInput, "console-input", "`FILE` that the guest reads in the place of standard input")
	f.pathVar(&o.consoleOutput, "console-output", "`FILE` that the guest writes in the place of standard output; it is overwritten")

	f.group("What it did")
	f.choiceVar(&o.stats, []string{statsTable, statsJSON}, "stats",
		"when the guest has ended, print exits by cause, the timeline and what each virtio device did, as `FORMAT` table or json; "+
			"with --on-reboot restart once for each life of the guest, as one JSON document each").NoOptDefVal = statsTable
	f.pathVar(&o.statsFile, "stats-file", "write the statistics to `FILE`, not to standard error")
	f.listVar(&o.trace, traceKinds, "trace", "print events as they happen: `KINDS` of exits, bus, irq, events and virtio")
	f.pathVar(&o.traceFile, "trace-file", "write the trace to `FILE`, not to standard error")

	f.group("Decompressed kernels")
	f.pathVar(&o.cacheDir, "cache-dir", "keep them in `DIRECTORY`; by default vmm in $XDG_CACHE_HOME or ~/.cache")
	f.boolVar(&o.noCache, "no-cache", "do not keep them")
}

// config makes the machine's configuration of the options, or reports all that
// is wrong with them.
func (o *bootOptions) config(f *flags, args []string) (vmm.Config, error) {
	if o.configFile != "" {
		if err := f.applyFile(o.configFile); err != nil {
			// What seems to be missing may be in the file.
			return vmm.Config{}, f.check(vmm.FieldError{Field: "config", Problem: err.Error()})
		}
	}
	c := vmm.Config{
		Kernel: o.kernel, Initrd: o.initrd, Entry: boot.Entry(o.entry),
		Memory: o.memory, CPUs: o.cpus, CacheDir: o.cacheDir,
		Console: vmm.Console{Kind: vmm.ConsoleKind(o.console)},
		Disks:   o.disks,
		RNG:     o.rng, PackedRings: o.rings == ringsPacked,
		Nets:      o.nets,
		Vsock:     o.vsock,
		Balloon:   o.balloon,
		TimeExits: o.wantsStats(),
	}
	parameters := o.appended
	if !f.Changed("cmdline") {
		o.cmdline = c.Console.Kind.Cmdline()
		parameters = append(parameters, c.Console.Kind.EarlyCmdline())
	}
	before, after := args, []string(nil)
	if n := f.ArgsLenAtDash(); n >= 0 {
		before, after = args[:n], args[n:]
	}
	wrong := o.contradictions(f, before)
	var err error
	if c.Cmdline, err = cmdline.Build(o.cmdline, parameters, after); err != nil {
		wrong = append(wrong, vmm.FieldError{Field: "--", Problem: err.Error()})
	}
	if o.pcap != "" && len(c.Nets) == 1 {
		c.Nets[0].PCAP = o.pcap
	}
	var problems *vmm.ConfigError
	if err := c.Check(); errors.As(err, &problems) {
		wrong = append(wrong, problems.Problems...)
	}
	return c, f.check(wrong...)
}

// contradictions are the flags that cannot be used as others are, and all words,
// which are not flags.
func (o *bootOptions) contradictions(f *flags, words []string) (wrong []vmm.FieldError) {
	is := func(field, problem string, args ...any) {
		wrong = append(wrong, vmm.FieldError{Field: field, Problem: fmt.Sprintf(problem, args...)})
	}
	for _, word := range words {
		is(fmt.Sprintf("unexpected argument %q", word),
			"the kernel is given by --kernel, arguments for the guest's init come after \"--\"")
	}
	if n := len(o.nets); o.pcap != "" && n != 1 {
		is("pcap", "there are %d network interfaces, not one; --net has an option pcap=FILE for each", n)
	} else if o.pcap != "" && o.nets[0].PCAP != "" {
		is("pcap", "--net says pcap=%s; must be given once", o.nets[0].PCAP)
	}
	for _, name := range []string{"console-input", "console-output"} {
		if o.console == string(vmm.ConsoleOff) && f.Changed(name) {
			is(name, "there is nothing to read or write with --console off")
		}
	}
	if o.traceFile != "" && len(o.trace) == 0 {
		is("trace-file", "there is nothing to write without --trace")
	}
	return wrong
}

// wantsStats reports whether statistics are to be printed.
func (o *bootOptions) wantsStats() bool { return o.stats != "" || o.statsFile != "" }

// boot runs the subcommand.
func (a *app) boot(f *flags, o *bootOptions, args []string) error {
	c, err := o.config(f, args)
	if err != nil {
		return err
	}
	c.Started = a.started
	switch {
	case o.noCache:
		c.CacheDir = ""
	case c.CacheDir == "":
		// A user without a cache directory boots without a cache.
		c.CacheDir, _ = boot.DefaultCacheDir()
	}

	out, err := a.openOutputs(o)
	if err != nil {
		return err
	}
	status, err := a.bootWith(c, o, out)
	// Results that did not reach their file are a failure whatever the
	// guest's status is.
	if err = errors.Join(err, out.close()); err == nil && status != 0 {
		return statusError(status)
	}
	return err
}

// bootWith runs the guest with a console and returns the exit status.
func (a *app) bootWith(c vmm.Config, o *bootOptions, out *outputs) (int, error) {
	con, err := a.openConsole(c.Console.Kind, o.consoleInput, out.console)
	if err != nil {
		return 0, err
	}
	defer con.close()
	c.Console = con.Console
	c.Trace = out.trace.hooks(o.trace)

	tuneRuntime(c.CPUs)
	// A message to standard error that nobody reads must not end the
	// monitor before the terminal is as it was.
	signal.Ignore(unix.SIGPIPE)
	return a.lives(c, o, con, out)
}

// A machine is what boot needs of a [vmm.Machine].
type machine interface {
	Run(context.Context) (vmm.Outcome, error)
	Resize(columns, rows uint16)
	Stats() vmm.Stats
	Close() error
}

// lives runs the guest for as many lives as it has, and returns the exit
// status.
func (a *app) lives(c vmm.Config, o *bootOptions, con *console, out *outputs) (int, error) {
	ctx, stop := a.watchSignals(con, out.trace)
	defer stop()
	for life := 1; ; life++ {
		m, err := a.build(ctx, c)
		if errors.Is(err, errStopped) {
			fmt.Fprintf(a.messages, "vmm: stopped before the guest ran: %v\n", context.Cause(ctx))
			return vmm.StatusStopped, nil
		}
		if err != nil {
			return 0, err
		}
		if life == 1 {
			err = a.beginLives(con, out)
		} else {
			fmt.Fprintf(a.messages, "vmm: life %d of the guest\n", life)
		}
		if err != nil {
			return 0, errors.Join(err, m.Close())
		}
		con.show(m)
		outcome, err := m.Run(ctx)
		again := o.onReboot == rebootRestart && outcome.End == vmm.EndRebooted && ctx.Err() == nil && err == nil
		if !again {
			con.detach()
		}
		if err := errors.Join(err, a.report(m, outcome, o, out), m.Close()); err != nil || !again {
			return outcome.ExitStatus(), err
		}
		c.Started = time.Now()
	}
}

// beginLives gives the guest the terminal and empties the files for it. A
// terminal that cannot be had costs no file.
func (a *app) beginLives(con *console, out *outputs) error {
	if err := con.attach(a); err != nil {
		return err
	}
	return out.begin()
}

// slowStart is how long building a machine may take without a word.
const slowStart = time.Second

// errStopped is why there is no machine if a signal came while it was built.
var errStopped = errors.New("stopped by a signal")

// build makes the machine, unless ctx ends first. If it takes long, it says so
// to a person: nearly always a kernel is being decompressed for the first time.
func (a *app) build(ctx context.Context, c vmm.Config) (machine, error) {
	if terminal.IsTerminal(a.stderr) {
		notice := time.AfterFunc(slowStart, func() {
			fmt.Fprintf(a.messages, "vmm: preparing %s\n", filepath.Base(c.Kernel))
		})
		defer notice.Stop()
	}
	m, err := a.newMachineUntil(ctx, c)
	if err != nil {
		return nil, err
	}
	if problem := m.Stats().Boot.CacheError; problem != "" {
		fmt.Fprintf(a.messages, "vmm: the decompressed kernel is not kept: %s\n", strings.ReplaceAll(problem, "\n", "; "))
	}
	return m, nil
}

// newMachineUntil makes a machine and returns it, or errStopped if ctx ends
// first. What it leaves behind then, the end of this process puts in order.
func (a *app) newMachineUntil(ctx context.Context, c vmm.Config) (machine, error) {
	type made struct {
		m   machine
		err error
	}
	done := make(chan made, 1)
	go func() {
		m, err := a.newMachine(c)
		done <- made{m, err}
	}()
	select {
	case <-ctx.Done():
		return nil, errStopped
	case d := <-done:
		return d.m, d.err
	}
}

// report says on standard error how the guest ended, unless it powered off in
// good order, and writes the statistics that are wanted.
func (a *app) report(m machine, outcome vmm.Outcome, o *bootOptions, out *outputs) error {
	if outcome.End != vmm.EndPoweredOff && outcome.End != vmm.EndFailure {
		fmt.Fprintf(a.messages, "vmm: the guest ended: %v\n", outcome)
	}
	if outcome.Diagnosis != nil {
		if _, err := outcome.Diagnosis.WriteTo(a.messages); err != nil {
			return err
		}
	}
	if !o.wantsStats() {
		return nil
	}
	return writeStats(out.stats, m.Stats(), o.stats)
}

// kernelEntries are what --kernel-entry can be.
func kernelEntries() []string {
	var names []string
	for _, e := range boot.Entries {
		names = append(names, e.String())
	}
	return names
}
