package arm

import (
	"context"
	"fmt"
)

// A bwrapArm runs the program in namespaces that bubblewrap makes, of which
// it has all that there are: the least that can be called a container.
type bwrapArm struct{ about }

func newBwrap() Arm {
	return bwrapArm{about{
		name: "bwrap", kind: Container, summary: "bubblewrap: namespaces and a root directory, no cgroup, no image",
		install: "apt-get install bubblewrap", passes: hostPasses,
	}}
}

func (bwrapArm) Probe(ctx context.Context, _ *Env) (string, error) {
	v, err := versionOf(ctx, "bwrap", "--version")
	if err != nil {
		return "", err
	}
	if _, err := call(ctx, "bwrap", "--unshare-all", "--ro-bind", "/", "/", "true"); err != nil {
		return "", fmt.Errorf("this host does not let it make namespaces (sysctl kernel.unprivileged_userns_clone=1, or run as root): %w", err)
	}
	return v, nil
}

func (bwrapArm) Prepare(_ context.Context, _ *Env, root, _ string) (Prepared, error) {
	bwrap, err := findProgram("bwrap")
	if err != nil {
		return nil, err
	}
	return plain{files: []string{root}, access: containerAccess, command: func(id string, argv []string, x Extras) (*Command, error) {
		c := []string{bwrap, "--unshare-all", "--die-with-parent", "--hostname", hostname(id),
			"--ro-bind", root, "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"}
		if x.Network {
			c = append(c, "--share-net")
		}
		if x.File != "" {
			c = append(c, "--ro-bind", x.File, containerFile)
		}
		return &Command{ID: id, Argv: append(append(c, "--"), argv...)}, nil
	}}, nil
}
