package initramfs

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"github.com/u-root/u-root/pkg/cpio"

	"microvm/guestinit"
)

// A Result says what Build has built.
type Result struct {
	Size     int64               // of the archive in bytes
	Commands []string            // u-root's commands in it
	Modules  map[string][]string // modules that are loaded at start, in order, by kernel release
}

// Build builds an initramfs: a cpio archive, not compressed, so that it can be
// mapped into the guest's memory as it is. What is wrong with the options is
// reported all at once as an [OptionError], before anything is built.
func Build(ctx context.Context, o Options) (Result, error) {
	commands, err := o.expandCommands()
	kernels, kernelErr := o.kernels()
	if err := errors.Join(o.check(), err); err != nil {
		return Result{}, errors.Join(&OptionError{err}, kernelErr)
	}
	a := newArchive()
	if err := errors.Join(kernelErr, o.addRoot(a)); err != nil {
		return Result{}, err
	}
	compiler, err := newCompiler(ctx, o.SourceDir, cmp.Or(o.Arch, arches[0]))
	if err != nil {
		return Result{}, err
	}
	work, err := os.MkdirTemp("", "initramfs-")
	if err != nil {
		return Result{}, err
	}
	defer os.RemoveAll(work)

	addSkeleton(a)
	if err := o.addPrograms(ctx, a, compiler, work, commands); err != nil {
		return Result{}, err
	}
	result := Result{Commands: commands, Modules: map[string][]string{}}
	for _, k := range kernels {
		o.progress("adding modules of %s", k.index.Release)
		if err := k.addTo(a); err != nil {
			return Result{}, err
		}
		result.Modules[k.index.Release] = k.loaded()
	}
	for _, f := range o.Files {
		if err := a.addHost(f); err != nil {
			return Result{}, fmt.Errorf("adding a file: %w", err)
		}
	}
	o.progress("writing %s", o.Output)
	result.Size, err = writeAtomically(o.Output, a.write)
	return result, err
}

// The devices that process 1 needs, by their names in the archive.
const (
	console = "dev/console"
	null    = "dev/null"
)

// addSkeleton adds what every archive has: the directories that process 1
// mounts file systems on, unless they are there, and the devices that are needed
// before that.
func addSkeleton(a *archive) {
	for dir, perm := range map[string]uint64{
		"/bin": 0o755, "/dev": 0o755, "/etc": 0o755, "/mnt": 0o755, "/proc": 0o755, "/root": 0o700,
		"/run": 0o755, "/sbin": 0o755, "/sys": 0o755, "/tmp": 0o1777,
	} {
		if !a.has(dir) {
			a.addDir(dir, perm)
		}
	}
	for _, d := range []struct {
		name         string
		perm         uint64
		major, minor uint64 // Linux Documentation/admin-guide/devices.txt
	}{
		{console, 0o600, 5, 1}, // the kernel opens it as process 1's streams
		{null, 0o666, 1, 3},    // the Go runtime opens it where the kernel had no console
	} {
		a.add(cpio.CharDev(d.name, d.perm, d.major, d.minor))
	}
}

// addPrograms builds and adds process 1 and the commands.
func (o *Options) addPrograms(ctx context.Context, a *archive, c *compiler, work string, commands []string) error {
	o.progress("building process 1")
	binary, err := c.init(ctx, work)
	if err != nil {
		return err
	}
	a.addFile(guestinit.Init, binary, 0o755)
	if o.Minimal {
		return nil
	}
	if len(commands) > 0 { // or all that were asked for are of guestinit.Commands
		if err := o.addBusybox(ctx, a, c, work, commands); err != nil {
			return err
		}
	}
	for _, name := range guestinit.Commands {
		if guest := path.Join("/bin", name); !a.has(guest) {
			a.addLink(guest, guestinit.Init)
		}
	}
	return nil
}

// addBusybox builds and adds u-root's commands of these names.
func (o *Options) addBusybox(ctx context.Context, a *archive, c *compiler, work string, commands []string) error {
	o.progress("building %d commands", len(commands))
	binary, err := c.busybox(ctx, work, commands)
	if err != nil {
		return err
	}
	const busybox = "/bin/bb"
	a.addFile(busybox, binary, 0o755)
	for _, name := range commands {
		if guest := path.Join("/bin", name); !a.has(guest) {
			a.addLink(guest, path.Base(busybox))
		}
	}
	return nil
}

// writeAtomically has write fill a new file beside the one called name, and puts
// it in that one's place when it is complete.
func writeAtomically(name string, write func(io.Writer) error) (size int64, err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return 0, fmt.Errorf("cannot write %s: %w", name, err)
	}
	defer func() {
		f.Close()
		if err != nil {
			os.Remove(f.Name())
			err = fmt.Errorf("cannot write %s: %w", name, err)
		}
	}()
	out := bufio.NewWriter(f)
	if err := errors.Join(write(out), out.Flush(), f.Chmod(0o644)); err != nil {
		return 0, err
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), os.Rename(f.Name(), name)
}
