// Package modules reads what depmod(8) says of a kernel's loadable modules, and
// finds out which are to be loaded, in which order, to have given ones.
package modules

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// An Index is the loadable modules of one kernel (modules.dep(5)).
type Index struct {
	// Dir is the kernel's module directory, such as /lib/modules/6.1.0, and
	// Release its last part: what uname -r prints under that kernel.
	Dir, Release string

	modules map[string]*Module
	builtin map[string]string // name -> path as modules.builtin has it
}

// A Module is a loadable module.
type Module struct {
	Name string   // as lsmod prints it: with "_" for every "-"
	File string   // path relative to the Index's Dir
	Deps []string // names of the modules that must be there before it
}

// Open reads modules.dep and modules.builtin in dir. If dir is a symbolic link,
// what it leads to gives the release.
func Open(dir string) (*Index, error) {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, err
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	dependencies, err := os.ReadFile(filepath.Join(dir, "modules.dep"))
	if err != nil {
		return nil, err
	}
	builtin, err := os.ReadFile(filepath.Join(dir, "modules.builtin"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	x, err := Read(strings.NewReader(string(dependencies)), strings.NewReader(string(builtin)))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	x.Dir, x.Release = dir, filepath.Base(dir)
	return x, nil
}

// Read reads an index without a directory from the contents of modules.dep and
// modules.builtin.
func Read(dependencies, builtin io.Reader) (*Index, error) {
	x := &Index{modules: map[string]*Module{}, builtin: map[string]string{}}
	lines := bufio.NewScanner(dependencies)
	lines.Buffer(nil, 1<<20) // a module has at most some dozens of others before it
	for n := 1; lines.Scan(); n++ {
		file, deps, found := strings.Cut(lines.Text(), ":")
		if !found || !filepath.IsLocal(file) {
			return nil, fmt.Errorf("modules.dep line %d: %q is not a module's path and its dependencies", n, lines.Text())
		}
		m := &Module{Name: Name(file), File: file}
		for dep := range strings.FieldsSeq(deps) {
			m.Deps = append(m.Deps, Name(dep))
		}
		x.modules[m.Name] = m
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("modules.dep: %w", err)
	}
	lines = bufio.NewScanner(builtin)
	for lines.Scan() {
		x.builtin[Name(lines.Text())] = lines.Text()
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("modules.builtin: %w", err)
	}
	return x, nil
}

// Name returns the name of the module in file, which may be compressed: the
// kernel takes "-" and "_" for the same.
func Name(file string) string {
	name, _, _ := strings.Cut(path.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Has reports whether the kernel has a module of this name, built in or not.
func (x *Index) Has(name string) bool {
	name = Name(name)
	return x.modules[name] != nil || x.builtin[name] != ""
}

// Module returns the loadable module of this name, nil if there is none.
func (x *Index) Module(name string) *Module { return x.modules[Name(name)] }

// Builtin returns the paths that the modules built into the kernel would have,
// sorted.
func (x *Index) Builtin() []string { return slices.Sorted(maps.Values(x.builtin)) }

// Names returns the names of all loadable modules, sorted.
func (x *Index) Names() []string {
	return slices.Sorted(maps.Keys(x.modules))
}

// An UnknownError says that a kernel has no module of a name.
type UnknownError struct {
	Name  string
	Index *Index
}

func (e *UnknownError) Error() string {
	return fmt.Sprintf("kernel %s has no module %q", e.Index.Release, e.Name)
}

// A CycleError says that a module needs itself, by way of others.
type CycleError struct{ Name string }

func (e *CycleError) Error() string {
	return fmt.Sprintf("modules.dep: module %q depends on itself", e.Name)
}

// Resolve returns the modules called names and those that they need, each once
// and after all that it needs itself. A module that is built into the kernel
// needs no loading and is left out. The errors are *UnknownError, one for each
// unknown name, and *CycleError.
func (x *Index) Resolve(names ...string) ([]*Module, error) {
	r := resolution{index: x, state: map[string]progress{}}
	var errs []error
	for _, name := range names {
		if err := r.add(Name(name)); err != nil {
			errs = append(errs, err)
		}
	}
	return r.order, errors.Join(errs...)
}

type progress int

const (
	untouched progress = iota
	visiting           // its dependencies are being added
	added
)

// A resolution is a depth-first walk over the modules wanted so far.
type resolution struct {
	index *Index
	state map[string]progress
	order []*Module
}

func (r *resolution) add(name string) error {
	switch r.state[name] {
	case added:
		return nil
	case visiting:
		return &CycleError{Name: name}
	}
	m := r.index.modules[name]
	if m == nil && r.index.builtin[name] != "" {
		return nil
	}
	if m == nil {
		return &UnknownError{Name: name, Index: r.index}
	}
	r.state[name] = visiting
	for _, dep := range m.Deps {
		if err := r.add(dep); err != nil {
			return err
		}
	}
	r.state[name] = added
	r.order = append(r.order, m)
	return nil
}
