package arm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
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
volume_path = %q
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
	name := filepath.Base(run) // which nobody else has
	cache := missing(podmanCache())
	storage := filepath.Join(dir, "storage")
	g := &engine{env: []string{"CONTAINERS_CONF=" + filepath.Join(run, "containers.conf")}, dir: dir, files: []string{storage}}
	if os.Geteuid() == 0 { // others may not make cgroups where they like
		g.flags = []string{"--cgroup-parent=/" + name}
	}
	// Without root podman has a process that keeps its namespaces.
	g.close = func(context.Context) error {
		return errors.Join(kill(func() []int { return processes(noSession, []string{name}) }), removeCgroups(name), removeMade(cache), os.RemoveAll(run))
	}
	if err := writePodmanSettings(run, dir); err != nil {
		return nil, errors.Join(err, g.close(ctx))
	}
	for _, driver := range []string{"overlay", "vfs"} { // vfs copies, and works on any file system
		// Flags, for without root podman takes the user's directories in spite of
		// all settings.
		g.program = []string{podman, "--root=" + storage, "--runroot=" + run, "--tmpdir=" + filepath.Join(run, "tmp"),
			"--runtime-flag=root=" + filepath.Join(run, "runtime"), "--storage-driver=" + driver}
		if err = g.importRoot(ctx, root); err == nil {
			return g, nil
		}
		err = errors.Join(err, os.RemoveAll(storage))
	}
	return nil, errors.Join(err, g.close(ctx))
}

func writePodmanSettings(run, dir string) error {
	settings := fmt.Sprintf(podmanSettings, filepath.Join(dir, "volumes"))
	if hybridCgroups() { // which crun, the default, refuses
		settings += "runtime = \"runc\"\n"
	}
	return os.WriteFile(filepath.Join(run, "containers.conf"), []byte(settings), 0o600)
}

// podmanCache is the file in which podman notes what parts of images it has seen,
// wherever its images are (containers/image, pkg/blobinfocache).
func podmanCache() string {
	data := "/var/lib"
	if os.Geteuid() != 0 {
		if data = os.Getenv("XDG_DATA_HOME"); data == "" {
			data = filepath.Join(os.Getenv("HOME"), ".local/share")
		}
	}
	return filepath.Join(data, "containers/cache/blob-info-cache-v1.boltdb")
}

// missing returns path and those of the directories above that are not there, the
// innermost first.
func missing(path string) (paths []string) {
	for ; ; path = filepath.Dir(path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return paths
		}
		paths = append(paths, path)
	}
}

// removeMade removes those of paths that have been made, but for directories that
// others have put something into.
func removeMade(paths []string) error {
	for _, path := range paths {
		err := os.Remove(path)
		switch {
		case errors.Is(err, unix.ENOTEMPTY):
			return nil
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	return nil
}
