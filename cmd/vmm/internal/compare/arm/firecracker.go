package arm

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"

	"microvm/boot"
)

// Firecracker takes uncompressed kernels and is described by a file. The guest's
// console is standard output. The timer that it has for a guest's start is no port
// but memory, and tells of one moment only. Before version 1.8.0, the first with ACPI, it
// describes interrupt controllers by MP tables only, as kvmtool does: with a kernel that
// does not read them some guests get no interrupt of a timer. What helps kvmtool's,
// nolapic, would take it from those of later versions.
func newFirecracker() Arm {
	return monitorArm{
		about: about{"firecracker", VM, "the monitor of AWS Lambda",
			"put a release of https://github.com/firecracker-microvm/firecracker into PATH; it is no package of Debian's", outerPasses},
		program: "firecracker", version: []string{"--version"},
		prepare: func(path string, g guest, dir string) (Prepared, error) {
			var err error
			if g.kernel, err = writeELF(g.kernel, dir); err != nil {
				return nil, err
			}
			return plain{files: g.files(), command: func(id string, argv []string, _ Extras) (*Command, error) {
				config := filepath.Join(dir, id+".json")
				if err := writeFirecrackerConfig(config, g, argv); err != nil {
					return nil, err
				}
				return &Command{ID: id, Marks: NoMarks, Argv: []string{path, "--id", id, "--no-api", "--config-file", config}}, nil
			}}, nil
		},
	}
}

// writeFirecrackerConfig writes what its API would be told.
func writeFirecrackerConfig(path string, g guest, argv []string) error {
	// It has no power-off; to the keyboard controller's reset it ends.
	line, err := guestLine(argv, "reboot=k", "pci=off")
	if err != nil {
		return err
	}
	text, err := json.Marshal(map[string]any{
		"boot-source":    map[string]any{"kernel_image_path": g.kernel, "initrd_path": g.initrd, "boot_args": line},
		"machine-config": map[string]any{"vcpu_count": 1, "mem_size_mib": g.memory >> 20},
		"drives":         []any{},
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

// writeELF writes the kernel, decompressed, to a file in dir and returns its path.
func writeELF(kernel, dir string) (path string, err error) {
	k, err := boot.Open(kernel)
	if err != nil {
		return "", err
	}
	defer k.Close()
	path = filepath.Join(dir, "vmlinux")
	f, err := os.Create(path)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return path, k.WriteELF(f, "")
}
