package initramfs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// The packages of this project's that are built into an initramfs, and the one
// that builds u-root's commands into a single program.
const (
	initPackage   = "microvm/guestinit/init"
	makebbPackage = "github.com/u-root/gobusybox/src/cmd/makebb"
)

// A compiler builds Go programs for the guest from this project's source tree.
// The same sources make the same bytes.
type compiler struct {
	dir string // in the source tree
}

// newCompiler checks that there is a Go toolchain, and that dir is in this
// project's source tree.
func newCompiler(ctx context.Context, dir string) (*compiler, error) {
	c := &compiler{dir: dir}
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("the initramfs is built by the go command, which is not in PATH; " +
			"it comes with Go (Debian: apt install golang-go, or https://go.dev/dl)")
	}
	if _, err := c.run(ctx, "list", initPackage); err != nil {
		where := dir
		if where == "" {
			where = "the working directory"
		}
		return nil, fmt.Errorf("%s is not in the source tree that process 1 is built from: %w", where, err)
	}
	return c, nil
}

// run runs the go command and returns what it prints on standard output.
func (c *compiler) run(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = c.dir
	// GOFLAGS of the user's could change the bytes.
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=", "GOWORK=off")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("go %s: %w\n%s", args[0], err, bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)))
	}
	return stdout.Bytes(), nil
}

// init builds process 1.
func (c *compiler) init(ctx context.Context, work string) ([]byte, error) {
	binary := filepath.Join(work, "init")
	_, err := c.run(ctx, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary, initPackage)
	if err != nil {
		return nil, err
	}
	return os.ReadFile(binary)
}

// busybox builds u-root's commands of these names into one program, which goes
// by the name that it is called by.
func (c *compiler) busybox(ctx context.Context, work string, commands []string) ([]byte, error) {
	binary := filepath.Join(work, "bb")
	args := []string{"run", makebbPackage, "-o", binary, "-gen-dir", filepath.Join(work, "src")}
	for _, name := range commands {
		args = append(args, commandPath(name))
	}
	if _, err := c.run(ctx, args...); err != nil {
		return nil, fmt.Errorf("building %s: %w", strings.Join(commands, " "), err)
	}
	return os.ReadFile(binary)
}
