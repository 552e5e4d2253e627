package initramfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/u-root/u-root/pkg/kmodule"

	"microvm/guestinit"
	"microvm/guestinit/modules"
)

// A kernel is the modules that the archive has for one kernel.
type kernel struct {
	index   *modules.Index
	load    []*modules.Module // loaded at start, in this order
	root    []*modules.Module // loaded for a root that is a disk, in this order
	carried []*modules.Module // those, and spare ones
}

// kernels reads the module directories and finds out what to take from each.
func (o *Options) kernels() ([]kernel, error) {
	var kernels []kernel
	var errs []error
	for _, dir := range o.ModuleDirs {
		k, err := o.kernel(dir)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		kernels = append(kernels, k)
	}
	return kernels, errors.Join(errs...)
}

func (o *Options) kernel(dir string) (kernel, error) {
	index, err := modules.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return kernel{}, fmt.Errorf("%w: no kernel's modules are there; Debian's come with their kernels, "+
			"as in apt install linux-image-cloud-amd64", err)
	}
	if err != nil {
		return kernel{}, err
	}
	k := kernel{index: index}
	wanted, root, spare := o.Modules, []string(nil), []string(nil)
	if wanted == nil && !o.Minimal {
		wanted = present(index, DefaultModules)
		root, spare = present(index, rootModules), present(index, spareModules)
	}
	if k.load, err = index.Resolve(wanted...); err != nil {
		return kernel{}, o.explain(err)
	}
	if k.root, err = index.Resolve(root...); err != nil {
		return kernel{}, err
	}
	k.carried, err = index.Resolve(slices.Concat(wanted, root, spare)...)
	return k, err
}

// present returns those of names that the kernel has.
func present(index *modules.Index, names []string) (found []string) {
	for _, name := range names {
		if index.Has(name) {
			found = append(found, name)
		}
	}
	return found
}

// explain adds to an error about an unknown module what may have been meant.
func (o *Options) explain(err error) error {
	var unknown *modules.UnknownError
	if !errors.As(err, &unknown) {
		return err
	}
	return fmt.Errorf("%w%s", err, o.meant(unknown.Name, unknown.Index.Names()))
}

func (k kernel) loaded() (names []string) {
	for _, m := range k.load {
		names = append(names, m.Name)
	}
	return names
}

// addTo adds the modules, the lists of those to load, and the index that
// modprobe reads. Modules are added decompressed: not every kernel can do that
// itself, and the host does it once.
func (k kernel) addTo(a *archive) error {
	dir := guestinit.ModulesDir(k.index.Release)
	var index, builtin strings.Builder
	for _, m := range k.carried {
		content, err := readModule(filepath.Join(k.index.Dir, m.File))
		if err != nil {
			return err
		}
		a.addFile(path.Join(dir, guestFile(m)), content, 0o644)
		fmt.Fprintf(&index, "%s:", guestFile(m))
		for _, dep := range m.Deps {
			fmt.Fprintf(&index, " %s", guestFile(k.index.Module(dep)))
		}
		index.WriteByte('\n')
	}
	for _, file := range k.index.Builtin() {
		fmt.Fprintln(&builtin, file)
	}
	a.addFile(path.Join(dir, "modules.dep"), []byte(index.String()), 0o644)
	a.addFile(path.Join(dir, "modules.builtin"), []byte(builtin.String()), 0o644)
	a.addFile(path.Join(dir, guestinit.LoadList), list(k.load), 0o644)
	a.addFile(path.Join(dir, guestinit.RootList), list(k.root), 0o644)
	return nil
}

// list returns the content of a list of modules to load.
func list(mods []*modules.Module) []byte {
	var text []byte
	for _, m := range mods {
		text = fmt.Appendln(text, guestFile(m))
	}
	return text
}

// guestFile returns the module's path below its kernel's directory in the
// guest, where it is not compressed.
func guestFile(m *modules.Module) string {
	stem, _, _ := strings.Cut(m.File, ".ko")
	return stem + ".ko"
}

// readModule returns the content of a module's file, decompressed.
func readModule(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r, err := kmodule.CompressionReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return content, nil
}
