package initramfs

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"microvm/guestinit"
)

// Options say what goes into an initramfs.
type Options struct {
	// Output is the archive's file. It is replaced as a whole, or not at all.
	Output string
	// SourceDir is a directory in this project's source tree, from which
	// process 1 and the commands are built; "" is the working directory.
	SourceDir string
	// Arch is the guest's architecture in Go's words: "amd64" or "386"; "" means
	// "amd64".
	Arch string
	// Minimal leaves out everything but process 1: no shell, no commands, no
	// modules unless they are asked for by name.
	Minimal bool
	// Commands are u-root's commands by name, and the sets of CommandSets; nil
	// means DefaultCommands. Those of guestinit.Commands come with any.
	Commands []string
	// ModuleDirs are the module directories, such as /lib/modules/6.1.0, of
	// the kernels that the archive is for.
	ModuleDirs []string
	// Modules are the modules that process 1 loads, with those that they need.
	// Each kernel must have each of them, built in or not; nil means
	// those of DefaultModules that the kernel has.
	Modules []string
	// Root, if not empty, is a directory all of which is added, as it is: the
	// guest's root. What is mounted there is not; a mount point is an empty
	// directory or file. What else the archive has is added where the directory
	// has nothing of that name, but for /init, /dev/console and /dev/null, which
	// are ours. Process 1 mounts file systems of the kernel's over /dev, /proc,
	// /run, /sys and /tmp.
	Root string
	// Files are added to the archive, in place of what has that name.
	Files []File
	// Progress, if not nil, is told what is being done, in a few words.
	Progress func(step string)
	// Suggest, if not nil, returns the one of known that a person may have
	// meant by word, or "". It is for messages.
	Suggest func(word string, known []string) string
}

// A File is a file of the host's to be put into the archive, with its
// permissions. A directory comes with all that is in it.
type File struct {
	Host  string // path on the host
	Guest string // absolute path in the guest
}

// ParseFile reads a File in the form HOST:GUEST, or HOST alone for a file that
// has the same absolute path in the guest.
func ParseFile(text string) (File, error) {
	host, guest, given := strings.Cut(text, ":")
	if !given {
		guest = host
	}
	f := File{Host: host, Guest: guest}
	return f, f.check()
}

func (f File) check() error {
	if f.Host == "" || !path.IsAbs(f.Guest) || path.Clean(f.Guest) == "/" {
		return fmt.Errorf("file %q:%q: want HOST:GUEST with an absolute path of the guest's, such as ./data:/root/data", f.Host, f.Guest)
	}
	return nil
}

// DefaultModules are what a guest of this project's machines needs to drive
// their devices. They are loaded at start.
var DefaultModules = []string{
	"pvpanic_mmio", // tells the monitor of a panic; the bus is ACPI, whatever its name says
	"virtio_mmio", "virtio_blk", "virtio_net", "virtio_console", "virtio_rng", "virtio_balloon",
	"vmw_vsock_virtio_transport",
}

// rootModules are carried beside DefaultModules, and loaded if the root is to be
// a disk. Where crc32c is not built in, ext4 needs it to be loaded first.
var rootModules = []string{"crc32c_generic", "ext4"}

// spareModules are carried beside them, for modprobe: file systems that a guest
// may want to mount.
var spareModules = []string{"overlay", "9p", "9pnet_virtio", "virtiofs"}

// arches are the architectures that process 1 has an I/O port access for.
var arches = []string{"amd64", "386"}

// An OptionError says what is wrong with the Options themselves, whatever is on
// this machine.
type OptionError struct{ Err error }

func (e *OptionError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *OptionError) Unwrap() error { return e.Err }

// check returns what is wrong with o itself, all of it at once.
func (o *Options) check() error {
	var errs []error
	if o.Output == "" {
		errs = append(errs, errors.New("no output file"))
	}
	for _, f := range o.Files {
		errs = append(errs, f.check())
	}
	if o.Root != "" && contains(o.Root, o.Output) {
		errs = append(errs, fmt.Errorf("output file %s is in the root directory %s, and would be a part of itself", o.Output, o.Root))
	}
	if len(o.Modules) > 0 && len(o.ModuleDirs) == 0 {
		errs = append(errs, fmt.Errorf("modules %s: no module directory to take them from", strings.Join(o.Modules, ", ")))
	}
	if o.Arch != "" && !slices.Contains(arches, o.Arch) {
		errs = append(errs, fmt.Errorf("architecture %q: want one of %s", o.Arch, strings.Join(arches, ", ")))
	}
	if o.Minimal && len(o.Commands) > 0 {
		errs = append(errs, errors.New("a minimal initramfs has no commands"))
	}
	return errors.Join(errs...)
}

// contains reports whether the file called name is, or would be, below dir. Where
// one of the two is not there, it is not.
func contains(dir, name string) bool {
	dir, err1 := realPath(dir)
	parent, err2 := realPath(filepath.Dir(name))
	return err1 == nil && err2 == nil && strings.HasPrefix(parent+"/", strings.TrimSuffix(dir, "/")+"/")
}

// realPath returns the absolute path of a file, without symbolic links.
func realPath(name string) (string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(name)
}

// CommandSets are names for many commands, which Options.Commands may hold.
var CommandSets = map[string][]string{
	"default": DefaultCommands,
	"core":    append(coreCommands, ourCommands...),
}

// expandCommands returns the commands that o asks for, sorted and each once,
// with the members of sets in place of their names.
func (o *Options) expandCommands() ([]string, error) {
	if o.Minimal {
		return nil, nil
	}
	names := o.Commands
	if names == nil {
		names = DefaultCommands
	}
	var commands []string
	var errs []error
	for _, name := range names {
		switch set, isSet := CommandSets[name]; {
		case isSet:
			commands = append(commands, set...)
		case slices.Contains(guestinit.Commands, name): // always there
		case commandPath(name) != "":
			commands = append(commands, name)
		default:
			errs = append(errs, fmt.Errorf("there is no command %q%s", name, o.meant(name, knownCommands())))
		}
	}
	slices.Sort(commands)
	return slices.Compact(commands), errors.Join(errs...)
}

// meant returns the end of an error's text about word.
func (o *Options) meant(word string, known []string) string {
	if o.Suggest == nil {
		return ""
	}
	if name := o.Suggest(word, known); name != "" {
		return fmt.Sprintf("; did you mean %q?", name)
	}
	return ""
}

// progress tells the caller what is done next.
func (o *Options) progress(format string, args ...any) {
	if o.Progress != nil {
		o.Progress(fmt.Sprintf(format, args...))
	}
}
