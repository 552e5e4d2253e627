package arm

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// A dockerArm runs containers by the daemon of docker's that runs on the host. It
// leaves other containers and images alone.
type dockerArm struct{ about }

func newDocker() Arm {
	return dockerArm{about{
		name: "docker", kind: Engine, summary: "container engine with a daemon",
		install: "apt-get install docker.io", passes: hostPasses,
	}}
}

func (dockerArm) Probe(ctx context.Context, _ *Env) (string, error) {
	docker, err := findProgram("docker")
	if err != nil {
		return "", err
	}
	server, err := call(ctx, docker, "version", "--format", "{{.Server.Version}}")
	if err != nil {
		return "", fmt.Errorf("its daemon does not answer this user (systemctl start docker): %w", err)
	}
	return "docker " + strings.TrimSpace(server), nil
}

func (dockerArm) Prepare(ctx context.Context, _ *Env, root, dir string) (Prepared, error) {
	docker, err := findProgram("docker")
	if err != nil {
		return nil, err
	}
	g := &engine{program: []string{docker}, dir: dir}
	if err := g.importRoot(ctx, root); err != nil {
		return nil, err
	}
	// The directory of the image's only layer, which overlay2 tells, and other storage
	// drivers do not.
	layer, err := g.call(ctx, "image", "inspect", "--format", `{{index .GraphDriver.Data "UpperDir"}}`, g.image)
	if layer = strings.TrimSpace(layer); err == nil && layer != "" {
		g.files = []string{layer}
	}
	return g, nil
}

// sweepDocker removes containers and images with word in their names, if there is a
// docker.
func sweepDocker(ctx context.Context, word string) error {
	docker, err := findProgram("docker")
	if err != nil {
		return nil
	}
	for _, c := range []struct{ list, remove []string }{
		{[]string{"ps", "--all", "--quiet", "--filter", "name=^" + word + "-"}, []string{"rm", "--force"}},
		{[]string{"images", "--quiet", word + "-*"}, []string{"rmi", "--force"}},
	} {
		found, err := call(ctx, append([]string{docker}, c.list...)...)
		if names := strings.Fields(found); err == nil && len(names) > 0 { // else there is no daemon
			if _, err := call(ctx, slices.Concat([]string{docker}, c.remove, names)...); err != nil {
				return err
			}
		}
	}
	return nil
}
