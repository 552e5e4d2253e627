package kernel

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// needed are the modules without which there is no throw-away host: the way
// to this host's files and streams, and KVM itself.
var needed = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "kvm_amd"}

// useful are the modules that virtual machines and their tests like to find
// on a host.
var useful = []string{"tun", "vhost_net", "vhost_vsock", "loop", "fuse", "binfmt_misc"}

// Modules are the loadable modules of a kernel.
type Modules struct {
	dir     string
	path    map[string]string   // module -> file, relative to dir
	deps    map[string][]string // module -> modules that must be there before it
	builtin map[string]bool
}

// ReadModules reads what depmod(8) left in dir, such as /lib/modules/6.1.0:
// modules.dep and modules.builtin.
func ReadModules(dir string) (*Modules, error) {
	m := &Modules{dir: dir, path: map[string]string{}, deps: map[string][]string{}, builtin: map[string]bool{}}
	err := eachLine(filepath.Join(dir, "modules.dep"), func(line string) {
		file, deps, found := strings.Cut(line, ":")
		if !found {
			return
		}
		m.path[moduleName(file)] = file
		for _, dep := range strings.Fields(deps) {
			m.deps[moduleName(file)] = append(m.deps[moduleName(file)], moduleName(dep))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("its modules: %w", err)
	}
	err = eachLine(filepath.Join(dir, "modules.builtin"), func(line string) { m.builtin[moduleName(line)] = true })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its modules: %w", err)
	}
	return m, nil
}

func eachLine(file string, do func(string)) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		do(lines.Text())
	}
	return lines.Err()
}

// moduleName returns the name of the module in file: the kernel takes "-" and
// "_" for the same, and the file may be compressed.
func moduleName(file string) string {
	name, _, _ := strings.Cut(filepath.Base(file), ".ko")
	return strings.ReplaceAll(name, "-", "_")
}

// Order returns the files of the modules that a throw-away host loads, each
// after those it depends on. A module that is built into the kernel has none.
func (m *Modules) Order() ([]string, error) {
	var files []string
	seen := map[string]bool{}
	var add func(name string) error
	add = func(name string) error {
		if seen[name] || m.builtin[name] {
			return nil
		}
		seen[name] = true
		file, found := m.path[name]
		if !found {
			return fmt.Errorf("it has no module %s in %s", name, m.dir)
		}
		for _, dep := range m.deps[name] {
			if err := add(dep); err != nil {
				return err
			}
		}
		files = append(files, filepath.Join(m.dir, file))
		return nil
	}
	for _, name := range needed {
		if err := add(name); err != nil {
			return nil, err
		}
	}
	for _, name := range useful {
		if m.path[name] == "" {
			continue
		}
		if err := add(name); err != nil {
			return nil, err
		}
	}
	return files, nil
}
