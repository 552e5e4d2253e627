package arm

import (
	"context"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An engine is a program that runs containers from images, prepared: it has the
// image. Docker and podman take the same commands.
type engine struct {
	program []string // with what is before its command
	env     []string // of the program, in addition to ours
	flags   []string // of its command "run" besides those of runFlags
	dir     string
	image   string
	files   []string
	close   func(ctx context.Context) error // after the containers and the image are removed
	extras  Extras
}

// runFlags are those of "run". No log, because what is on standard output is
// enough.
var runFlags = []string{"run", "--rm", "--interactive", "--log-driver=none", "--pull=never"}

// extraFlags are those for extras. Who has not asked for a network has none, as in
// the other arms.
func extraFlags(x Extras) []string {
	network := "--network=none"
	if x.Network {
		network = "--network=" + hostNetwork.Network
	}
	if x.File == "" {
		return []string{network}
	}
	return []string{network, "--volume=" + x.File + ":" + containerFile + ":ro"}
}

// Equip implements Equipper.
func (g *engine) Equip(x Extras) (Prepared, Access, error) {
	equipped := *g
	equipped.extras = g.extras.and(x)
	a, err := containerAccess(equipped.extras)
	return &equipped, a, err
}

// call runs one of the engine's commands.
func (g *engine) call(ctx context.Context, argv ...string) (string, error) {
	return callWith(ctx, g.env, with(g.program, argv...)...)
}

// importRoot makes an image of the root directory.
func (g *engine) importRoot(ctx context.Context, root string) error {
	archive := filepath.Join(g.dir, "root.tar")
	if err := writeTar(ctx, archive, root); err != nil {
		return err
	}
	g.image = uniqueName() + ":latest"
	if _, err := g.call(ctx, "import", archive, g.image); err != nil {
		return err
	}
	return os.Remove(archive)
}

func (g *engine) Command(id string, argv []string) (*Command, error) {
	name := filepath.Join(g.dir, id+".cid")
	run := slices.Concat(g.program, runFlags, extraFlags(g.extras), g.flags, []string{"--name=" + id, "--cidfile=" + name, g.image}, argv)
	return &Command{
		ID: id, Argv: run, Env: g.env,
		IDFile: name, Linger: engineLinger,
		Remove: func(ctx context.Context) error { return g.remove(ctx, id) },
	}, nil
}

// remove removes a container, if it is still there. What was started with --rm an
// engine removes by itself, and refuses to do it twice at the same time.
func (g *engine) remove(ctx context.Context, id string) error {
	for {
		_, err := g.call(ctx, "rm", "--force", id)
		if err == nil || strings.Contains(strings.ToLower(err.Error()), "no such container") {
			return nil
		}
		if !strings.Contains(err.Error(), "already in progress") {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(removeAgain):
		}
	}
}

// removeAgain is when an engine is asked again that is at it.
const removeAgain = 20 * time.Millisecond

func (g *engine) Files() []string { return g.files }

func (g *engine) Close(ctx context.Context) error {
	_, err := g.call(ctx, "rmi", "--force", g.image)
	if g.close == nil || err != nil {
		return err
	}
	return g.close(ctx)
}

// uniqueName is one for an image or a cgroup that nobody else has.
func uniqueName() string { return Word() + "-" + strings.ToLower(rand.Text()) }

// writeTar writes the tree below root to an archive. What belongs to a user who is
// not root, and can own nothing else, belongs to root in the image.
func writeTar(ctx context.Context, path, root string) error {
	argv := []string{"tar", "--create", "--file", path, "--directory", root, "--numeric-owner"}
	if os.Geteuid() != 0 {
		argv = append(argv, "--owner=0", "--group=0")
	}
	_, err := call(ctx, append(argv, ".")...)
	return err
}
