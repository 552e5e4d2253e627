package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/suggest"
	"microvm/cmd/vmm/internal/terminal"
	"microvm/guestinit/initramfs"
	"microvm/vmm"
)

var initrdCommand = &command{
	name:    "initrd",
	summary: "build an initial RAM disk for a guest",
	usage:   "initrd build -o FILE [FLAGS]",
	about: `Builds a cpio archive with this project's init, u-root's shell and commands, and
kernel modules. The same choices make the same bytes. It needs Go and this
project's source tree; run it there or give --source.`,
	words: []string{"build"},
	examples: [][2]string{
		{"vmm initrd build -o init.cpio", "a shell and the usual commands, no modules"},
		{"vmm initrd build --kernel-version $(uname -r) -o init.cpio", "with the modules that guests of this host's kernel need"},
		{"vmm initrd build --minimal -o minimal.cpio", "init alone"},
		{"vmm initrd build --minimal --rootfs ./root -o root.cpio", "a directory as the guest's root"},
		{"vmm initrd build --file ./test.sh:/bin/test.sh -o init.cpio", "with a file of yours"},
	},
	setUp: func(f *flags) runner {
		o := &initrdOptions{}
		o.declare(f)
		return func(a *app, args []string) error { return a.buildInitrd(f, o, args) }
	},
}

// initrdOptions are what the flags of initrd build say.
type initrdOptions struct {
	output, source string
	arch           string
	minimal        bool
	root           string
	commands       []string
	modules        []string
	moduleDirs     []string
	releases       []string
	files          []string
}

func (o *initrdOptions) declare(f *flags) {
	f.pathVar(&o.output, "output", "write the archive to `FILE`")
	f.boolVar(&o.minimal, "minimal", "only init: no shell, no commands, no modules that are not asked for")
	f.choiceVar(&o.arch, []string{"amd64", "386"}, "arch", "`PROCESSOR` of the guest: amd64 or 386")
	f.listVar(&o.commands, nil, "commands", "u-root's commands by `NAME`, or the sets "+strings.Join(commandSets(), " and "))
	f.listVar(&o.modules, nil, "modules", "kernel modules to load by `NAME`, with those that they need; by default the virtio drivers that a kernel has")
	f.namesVar(&o.releases, "kernel-version", "take modules from /lib/modules/`RELEASE`; may be repeated")
	f.pathsVar(&o.moduleDirs, "modules-dir", "take modules from `DIRECTORY`; may be repeated")
	f.pathVar(&o.root, "rootfs", "the guest's root is what is in `DIRECTORY`, with owners, modes, devices and hard links; what is mounted there and file capabilities stay behind. Init is added to it, and the rest where it has nothing of that name")
	f.pathsVar(&o.files, "file", "add a file or directory, as `HOST:GUEST`; may be repeated")
	f.pathVar(&o.source, "source", "this project's source tree is `DIRECTORY`, not the working directory")
}

func commandSets() []string {
	return slices.Sorted(maps.Keys(initramfs.CommandSets))
}

// moduleRoot is where a distribution keeps the modules of its kernels.
const moduleRoot = "/lib/modules"

// options makes the builder's options of the flags.
func (o *initrdOptions) options(f *flags, args []string) (initramfs.Options, error) {
	var wrong []vmm.FieldError
	switch {
	case len(args) == 0:
		return initramfs.Options{}, usagef("what to do? There is: vmm initrd build")
	case args[0] != "build":
		return initramfs.Options{}, unknown("action", args[0], []string{"build"})
	case len(args) > 1:
		return initramfs.Options{}, noArguments(args[1:])
	}
	b := initramfs.Options{
		Output: o.output, SourceDir: o.source, Arch: o.arch, Minimal: o.minimal, Root: o.root,
		Commands: o.commands, Modules: o.modules, ModuleDirs: slices.Clone(o.moduleDirs),
		Suggest: suggest.Nearest,
	}
	for _, release := range o.releases {
		b.ModuleDirs = append(b.ModuleDirs, filepath.Join(moduleRoot, release))
	}
	for _, text := range o.files {
		file, err := initramfs.ParseFile(text)
		if err != nil {
			wrong = append(wrong, vmm.FieldError{Field: "file", Problem: err.Error()})
		}
		b.Files = append(b.Files, file)
	}
	if o.output == "" {
		wrong = append(wrong, vmm.FieldError{Field: "output", Problem: "where to? For example: -o init.cpio"})
	}
	if o.minimal && o.commands != nil {
		wrong = append(wrong, vmm.FieldError{Field: "commands", Problem: "--minimal has none; leave one of the two out"})
	}
	if len(o.modules) > 0 && len(b.ModuleDirs) == 0 {
		wrong = append(wrong, vmm.FieldError{Field: "modules", Problem: "of which kernel? Say it by --kernel-version or --modules-dir"})
	}
	return b, f.check(wrong...)
}

// buildInitrd runs the subcommand.
func (a *app) buildInitrd(f *flags, o *initrdOptions, args []string) error {
	b, err := o.options(f, args)
	if err != nil {
		return err
	}
	if terminal.IsTerminal(a.stderr) {
		b.Progress = func(step string) { fmt.Fprintf(a.messages, "%s\n", step) }
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGINT, unix.SIGTERM)
	defer stop()
	result, err := initramfs.Build(ctx, b)
	if err != nil && ctx.Err() != nil {
		return errors.New("stopped by a signal; nothing was written")
	}
	var wrong *initramfs.OptionError
	if errors.As(err, &wrong) {
		return &usageError{problems: strings.Split(err.Error(), "\n")}
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stdout, "%s: %s, %d commands", b.Output, size.Human(uint64(result.Size)), len(result.Commands))
	for _, release := range slices.Sorted(maps.Keys(result.Modules)) {
		fmt.Fprintf(a.stdout, ", %d modules of %s", len(result.Modules[release]), release)
	}
	_, err = fmt.Fprintln(a.stdout)
	return err
}
