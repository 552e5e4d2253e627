package arm

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// engineLinger is how long an engine may put things away after a container's end:
// podman does it in a process of its own.
const engineLinger = 30 * time.Second

// A podmanArm runs containers by podman, with images, containers and settings
// of its own, apart from the user's.
type podmanArm struct{ about }

func newPodman() Arm {
	return podmanArm{about{
		name: "podman", kind: Engine, summary: "container engine without a daemon",
		install: "apt-get install podman crun", passes: hostPasses,
	}}
}

func (podmanArm) Probe(ctx context.Context, _ *Env) (string, error) {
	return versionOf(ctx, "podman", "--version")
}

// podmanSettings is what a containers.conf(5) says: what podman would have to ask
// systemd or D-Bus for, or share with the user's podman, is done by itself.
const podmanSettings = `[containers]
default_ulimits = []
pids_limit = 0
[engine]
cgroup_manager = "cgroupfs"
events_logger = "none"
lock_type = "file"
static_dir = %[1]q
tmp_dir = %[2]q
volume_path = %[3]q
`

// storageSettings is what a containers-storage.conf(5) says.
const storageSettings = `[storage]
driver = %q
graphroot = %q
runroot = %q
`

func (podmanArm) Prepare(ctx context.Context, _ *Env, root, dir string) (Prepared, error) {
	podman, err := findProgram("podman")
	if err != nil {
		return nil, err
	}
	// In a directory with a long name podman waits 20 s for each container's end.
	run, err := os.MkdirTemp("/tmp", Word()+"-")
	if err != nil {
		return nil, err
	}
	storage, cgroup := filepath.Join(dir, "storage"), uniqueName()
	settings := fmt.Sprintf(podmanSettings, filepath.Join(storage, "libpod"), filepath.Join(run, "tmp"), filepath.Join(storage, "volumes"))
	if hybridCgroups() { // which crun refuses
		settings += "runtime = \"runc\"\n"
	}
	settingsFile, storageFile := filepath.Join(dir, "containers.conf"), filepath.Join(dir, "storage.conf")
	if err := os.WriteFile(settingsFile, []byte(settings), 0o600); err != nil {
		return nil, err
	}
	g := &engine{
		// Where the runtime keeps what it knows of containers, no setting says.
		program: []string{podman, "--runtime-flag=root=" + filepath.Join(run, "runtime")},
		env:     []string{"CONTAINERS_CONF=" + settingsFile, "CONTAINERS_STORAGE_CONF=" + storageFile},
		flags:   []string{"--cgroup-parent=/" + cgroup}, dir: dir, files: []string{storage},
	}
	g.close = func(ctx context.Context) error {
		return errors.Join(removeCgroups(cgroup), os.RemoveAll(run))
	}
	for _, driver := range []string{"overlay", "vfs"} { // vfs copies, and works on any file system
		text := fmt.Sprintf(storageSettings, driver, storage, run)
		if err = os.WriteFile(storageFile, []byte(text), 0o600); err != nil {
			break
		}
		if err = g.importRoot(ctx, root); err == nil {
			return g, nil
		}
		os.RemoveAll(storage)
	}
	return nil, errors.Join(err, g.close(ctx))
}
