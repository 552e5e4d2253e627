package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"microvm/boot"
	"microvm/cmd/internal/size"
)

var inspectCommand = &command{
	name:    "inspect",
	summary: "tell about a kernel image, and what it needs",
	usage:   "inspect KERNEL [--json | --config]",
	about: `Reads and decompresses the whole image. Of one that vmm boot would refuse it
tells what can be told, and then fails with the same message; whether a guest has
memory enough is another matter.

--config prints the configuration that the kernel was built with, if the image
carries it (CONFIG_IKCONFIG; Debian's kernels do not).`,
	examples: [][2]string{
		{"vmm inspect bzImage", "format, version, compression, ways in, memory"},
		{"vmm inspect --json bzImage", "all that is known"},
		{"vmm inspect --config vmlinux > .config", "the embedded configuration"},
	},
	setUp: func(f *flags) runner {
		var asJSON, config bool
		f.boolVar(&asJSON, "json", "for a program")
		f.boolVar(&config, "config", "print the kernel's configuration")
		return func(a *app, args []string) error {
			if err := f.check(); err != nil {
				return err
			}
			switch {
			case len(args) == 0:
				return usagef("which kernel? For example: vmm inspect bzImage")
			case len(args) > 1:
				return noArguments(args[1:])
			case asJSON && config:
				return usagef("--json has the configuration too; leave --config out")
			}
			return a.inspect(args[0], asJSON, config)
		}
	},
}

// inspect runs the subcommand.
func (a *app) inspect(path string, asJSON, config bool) error {
	k, err := boot.Open(path)
	if err != nil {
		return err
	}
	defer k.Close()
	info, err := k.Info()
	if err != nil {
		return err
	}
	switch {
	case asJSON:
		err = writeJSON(a.stdout, info)
	case !config:
		_, err = io.WriteString(a.stdout, infoText(info))
	case info.Config == "" && info.Refusal == "":
		return fmt.Errorf("%s does not carry its configuration (CONFIG_IKCONFIG was off); a distribution has it beside the image, such as /boot/config-*", path)
	default:
		_, err = io.WriteString(a.stdout, info.Config)
	}
	if err == nil && info.Refusal != "" {
		return errors.New(info.Refusal)
	}
	return err
}

// infoText is what a person reads.
func infoText(info *boot.Info) string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("image", "%s, %s", info.Path, size.Human(info.Size))
	line("format", "%s for %s", info.Format, info.Arch)
	line("version", "%s", orUnknown(info.Version))
	if bz := info.BzImage; bz != nil {
		describeBzImage(line, bz)
	}
	if info.ELFProblem != "" {
		line("payload", "cannot be used: %s", info.ELFProblem)
	}
	if elf := info.ELF; elf != nil {
		describeELF(line, elf)
	}
	line("entries", "%s", entryNames(info))
	line("command line", "at most %d bytes", info.CmdlineLimit)
	line("memory", "more than %s, besides the initrd", size.Human(info.MemoryNeeded))
	describeConfig(line, info.Config)
	return b.String()
}

func describeBzImage(line liner, bz *boot.BzImageInfo) {
	line("protocol", "%s; load flags %s; extended %s", bz.Protocol, orNone(bz.LoadFlags), orNone(bz.XLoadFlags))
	relocatable := "not relocatable"
	if bz.Relocatable {
		relocatable = fmt.Sprintf("relocatable by %s", size.Format(uint64(bz.Alignment)))
	}
	line("loads at", "%#x, %s, %s while it decompresses itself", bz.PrefAddress, relocatable, size.Human(uint64(bz.InitSize)))
	switch {
	case bz.UncompressedSize > 0:
		line("payload", "%s, %s, %s decompressed", bz.Compression, size.Human(bz.PayloadSize), size.Human(bz.UncompressedSize))
	case bz.Compression != "": // it could not be decompressed
		line("payload", "%s, %s", bz.Compression, size.Human(bz.PayloadSize))
	}
	line("checksum", "%s", bz.Checksum)
}

func describeELF(line liner, elf *boot.ELFInfo) {
	pvh := "no PVH entry"
	if elf.PVHEntry != 0 {
		pvh = fmt.Sprintf("PVH entry %#x", elf.PVHEntry)
	}
	line("ELF", "%d bits, entry %#x, %s", elf.Bits, elf.Entry, pvh)
	for _, s := range elf.Segments {
		line("", "%#11x  %9s, %9s in the file  %s", s.Physical, size.Human(s.MemSize), size.Human(s.FileSize), s.Flags)
	}
}

// entryNames lists the ways in, with the one that is taken by itself.
func entryNames(info *boot.Info) string {
	var names []string
	for _, e := range info.Entries {
		name := e.String()
		if e == info.Auto {
			name += " (taken by auto)"
		}
		names = append(names, name)
	}
	return orNone(names)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// notable are options of a kernel's configuration that decide what a guest can
// do, and what for.
var notable = []struct{ option, what string }{
	{"CONFIG_SERIAL_8250_CONSOLE", "console on the serial port"},
	{"CONFIG_BLK_DEV_INITRD", "initial RAM disk"},
	{"CONFIG_ACPI", "ACPI: power-off, more than one processor, devices"},
	{"CONFIG_KVM_GUEST", "paravirtual clock"},
	{"CONFIG_PVH", "PVH entry"},
	{"CONFIG_VIRTIO_MMIO", "virtio devices"},
}

// describeConfig tells what the kernel's configuration, if known, has of note.
func describeConfig(line liner, config string) {
	if config == "" {
		return
	}
	values := make(map[string]string)
	for l := range strings.Lines(config) {
		if name, value, ok := strings.Cut(strings.TrimSpace(l), "="); ok {
			values[name] = value
		}
	}
	line("configuration", "%d options; of note:", len(values))
	for _, n := range notable {
		state := map[string]string{"y": "built in", "m": "a module", "": "no"}[values[n.option]]
		line("", "%-28s %-9s %s", n.option, state, n.what)
	}
}
