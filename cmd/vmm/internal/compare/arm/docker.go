package arm

import (
	"context"
	"fmt"
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
	g := &engine{program: docker, dir: dir}
	if err := g.importRoot(ctx, root); err != nil {
		return nil, err
	}
	// The directory of the image's only layer.
	layer, err := g.call(ctx, "image", "inspect", "--format", `{{index .GraphDriver.Data "UpperDir"}}`, g.image)
	if err == nil {
		g.files = []string{strings.TrimSpace(layer)}
	}
	return g, nil
}
