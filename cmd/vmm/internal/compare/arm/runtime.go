package arm

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/host"
)

// A runtimeArm is a runtime of the Open Container Initiative: a program that
// starts a container from a bundle, and knows no images. All of them take the
// commands of runc.
type runtimeArm struct {
	about
	program string
	flags   func(x Extras) []string // before the command
	marks   Marks
	check   func(ctx context.Context) error // why it cannot be used, nil if nothing is known
}

// newRuntime returns the arm of the runtime called name.
func newRuntime(name, summary, install string, passes []compare.Boundary) runtimeArm {
	a := runtimeArm{about: about{name, Container, summary, install, passes}, program: name}
	a.flags = func(Extras) []string { return nil }
	a.check = func(context.Context) error { return nil }
	return a
}

func newCrun() Arm {
	a := newRuntime("crun", "OCI runtime in C, the default of podman", "apt-get install crun", hostPasses)
	a.check = func(context.Context) error {
		if hybridCgroups() {
			return errors.New("refuses this host's hybrid cgroups: boot with systemd.unified_cgroup_hierarchy=1, or unmount /sys/fs/cgroup/unified")
		}
		return nil
	}
	return a
}

func newRunc() Arm {
	return newRuntime("runc", "OCI runtime in Go, the default of docker", "apt-get install runc", hostPasses)
}

// The payload runs on gVisor's kernel, whose clock is not the host's. Of the host's
// network it has the sockets, not the interfaces.
func newRunsc() Arm {
	a := newRuntime("runsc", "gVisor: OCI runtime with a kernel in user space", "apt-get install runsc", outerPasses)
	a.kind, a.marks = Sandbox, NoMarks
	a.flags = func(x Extras) []string {
		if x.Network {
			return []string{"--network=host"}
		}
		return []string{"--network=none"}
	}
	a.check = func(context.Context) error { return needRoot() }
	return a
}

func newKata() Arm {
	a := newRuntime("kata", "Kata Containers: OCI runtime with a virtual machine for each container",
		"see https://katacontainers.io; it is no package of Debian's", outerPasses)
	a.kind, a.program, a.marks = VM, "kata-runtime", NoMarks
	a.check = func(ctx context.Context) error {
		if _, err := call(ctx, a.program, "run", "--help"); err != nil {
			return errors.New("from version 2 on it can only be started by containerd, which this comparison does not do")
		}
		return nil
	}
	return a
}

func (a runtimeArm) Probe(ctx context.Context, _ *Env) (string, error) {
	v, err := versionOf(ctx, a.program, "--version")
	if err != nil {
		return "", err
	}
	return v, a.check(ctx)
}

// Prepare needs nothing but the root directory; bundles are made for instances.
func (a runtimeArm) Prepare(_ context.Context, _ *Env, root, dir string) (Prepared, error) {
	path, err := findProgram(a.program)
	if err != nil {
		return nil, err
	}
	return plain{files: []string{root}, access: containerAccess, command: func(id string, argv []string, x Extras) (*Command, error) {
		runtime := append([]string{path, "--root", filepath.Join(dir, "state")}, a.flags(x)...)
		bundle := filepath.Join(dir, id)
		if err := writeBundle(bundle, containerSpec(root, id, argv, x)); err != nil {
			return nil, err
		}
		return &Command{
			ID: id, Argv: with(runtime, "run", "--bundle", bundle, id), Marks: a.marks,
			Remove: func(ctx context.Context) error {
				_, err := call(ctx, with(runtime, "delete", "--force", id)...)
				return err
			},
		}, nil
	}}, nil
}

// with returns a new slice with more at the end of argv.
func with(argv []string, more ...string) []string {
	return append(argv[:len(argv):len(argv)], more...)
}

// hybridCgroups reports whether this host has cgroups of both versions.
func hybridCgroups() bool { return host.Read(os.DirFS("/")).Cgroup.Hybrid }
