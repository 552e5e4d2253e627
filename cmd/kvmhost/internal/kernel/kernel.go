// Package kernel finds the kernel of the throw-away host among those that are
// installed here, and the modules it needs.
package kernel

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"microvm/boot"
)

// Install is the command that installs a kernel which will do. Debian's cloud
// kernel will not: it has no 9p.
const Install = "apt-get install linux-image-amd64"

// A Kernel is a kernel image and the modules that a throw-away host loads.
type Kernel struct {
	Image   string   // a file that boot.Open takes
	Modules []string // files, each after those that it needs
}

// Find returns the newest kernel in boot that has, under modules, the modules
// that a throw-away host needs. root is "/" but in tests.
func Find(root string) (*Kernel, error) {
	images, err := filepath.Glob(filepath.Join(root, "boot/vmlinuz-*"))
	if err != nil {
		return nil, err
	}
	slices.SortFunc(images, func(a, b string) int { return -compareVersions(a, b) })
	var refused []error
	for _, image := range images {
		version := strings.TrimPrefix(filepath.Base(image), "vmlinuz-")
		k, err := open(image, filepath.Join(root, "lib/modules", version))
		if err == nil {
			return k, nil
		}
		refused = append(refused, fmt.Errorf("%s: %w", image, err))
	}
	if refused == nil {
		return nil, fmt.Errorf("no kernel in %s; to install one: %s", filepath.Join(root, "boot"), Install)
	}
	return nil, fmt.Errorf("no installed kernel will do; to install one that does: %s\n%w", Install, errors.Join(refused...))
}

// Open returns the kernel in the file image with the modules in the directory
// modules, which if empty is the usual place for the version that the image
// says it is.
func Open(image, modules string) (*Kernel, error) {
	k, err := boot.Open(image)
	if err != nil {
		return nil, err
	}
	version := k.Release()
	if err := k.Close(); err != nil {
		return nil, err
	}
	if modules == "" {
		if version == "" {
			return nil, fmt.Errorf("kernel %s does not say which version it is: name its modules too", image)
		}
		modules = filepath.Join("/lib/modules", version)
	}
	found, err := open(image, modules)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", image, err)
	}
	return found, nil
}

func open(image, modules string) (*Kernel, error) {
	f, err := os.Open(image)
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("may be read by root only; to change that: chmod a+r %s", image)
	} else if err != nil {
		return nil, err
	}
	f.Close()
	files, err := moduleFiles(modules)
	if err != nil {
		return nil, err
	}
	return &Kernel{Image: image, Modules: files}, nil
}

// compareVersions orders names as people number them: "6.1.0-56" after
// "6.1.0-9".
func compareVersions(a, b string) int {
	for a != "" && b != "" {
		an, bn := digits(a), digits(b)
		if an > 0 && bn > 0 {
			x, y := strings.TrimLeft(a[:an], "0"), strings.TrimLeft(b[:bn], "0")
			if c := cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(x, y)); c != 0 {
				return c
			}
			a, b = a[an:], b[bn:]
			continue
		}
		if a[0] != b[0] {
			return cmp.Compare(a[0], b[0])
		}
		a, b = a[1:], b[1:]
	}
	return cmp.Compare(len(a), len(b))
}

// digits returns how many digits s begins with.
func digits(s string) int {
	return len(s) - len(strings.TrimLeft(s, "0123456789"))
}
