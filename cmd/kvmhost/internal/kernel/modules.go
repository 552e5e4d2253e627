package kernel

import (
	"fmt"
	"path/filepath"
	"slices"

	"microvm/guestinit/modules"
)

// needed are the modules without which there is no throw-away host: the way
// to this host's files and streams, and KVM itself.
var needed = []string{"virtio_pci", "virtio_console", "9pnet_virtio", "9p", "overlay", "kvm_amd"}

// useful are the modules that virtual machines and their tests like to find
// on a host.
var useful = []string{"tun", "vhost_net", "vhost_vsock", "loop", "fuse", "binfmt_misc"}

// moduleFiles returns the files of the modules that a throw-away host loads,
// each after those it depends on, from the kernel's module directory dir.
func moduleFiles(dir string) ([]string, error) {
	index, err := modules.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("its modules: %w", err)
	}
	names := slices.Clone(needed)
	for _, name := range useful {
		if index.Has(name) {
			names = append(names, name)
		}
	}
	order, err := index.Resolve(names...)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, m := range order {
		files = append(files, filepath.Join(index.Dir, m.File))
	}
	return files, nil
}
