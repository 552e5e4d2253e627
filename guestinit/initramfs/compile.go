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
	"syscall"
)

// The packages of this project's that are built into an initramfs, and the one
// that builds u-root's commands into a single program.
const (
	initPackage    = "microvm/guestinit/init"
	payloadPackage = "microvm/guestinit/payload"
	makebbPackage  = "github.com/u-root/gobusybox/src/cmd/makebb"
)

// A compiler builds Go programs for the guest from this project's source tree.
// The same sources make the same bytes.
type compiler struct {
	dir  string // in the source tree
	arch string // the guest's GOARCH
}

// newCompiler checks that there is a Go toolchain, and that dir is in this
// project's source tree.
func newCompiler(ctx context.Context, dir, arch string) (*compiler, error) {
	c := &compiler{dir: dir, arch: arch}
	if _, err := exec.LookPath("go"); err != nil {
		return nil, errors.New("the guest's programs are built by the go command, which is not in PATH; " +
			"it comes with Go (Debian: apt install golang-go, or https://go.dev/dl)")
	}
	if _, err := c.run(ctx, c.target(), "list", initPackage); err != nil {
		where := dir
		if where == "" {
			where = "the working directory"
		}
		return nil, fmt.Errorf("%s is not in the source tree that the guest's programs are built from: %w", where, err)
	}
	return c, nil
}

// target is the environment in which programs for the guest are built.
func (c *compiler) target() []string {
	return []string{"CGO_ENABLED=0", "GOOS=linux", "GOARCH=" + c.arch, "GOAMD64=v1", "GO386=sse2"}
}

// run runs the go command.
func (c *compiler) run(ctx context.Context, env []string, args ...string) ([]byte, error) {
	return c.execute(ctx, env, "go", args...)
}

// execute runs a program in the source tree, with env added to the environment,
// and returns what it prints on standard output.
func (c *compiler) execute(ctx context.Context, env []string, program string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir = c.dir
	// Whoever is called calls compilers in turn: all of them end together.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// The user's could change the bytes. GOFLAGS must not be empty: then the go
	// command takes what "go env -w" has set.
	cmd.Env = append(os.Environ(), "GOFLAGS=-buildvcs=false", "GOWORK=off")
	cmd.Env = append(cmd.Env, env...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), args[0], err, bytes.TrimSpace(append(stderr.Bytes(), stdout.Bytes()...)))
	}
	return stdout.Bytes(), nil
}

// program builds the program of a package of ours into the file binary.
func (c *compiler) program(ctx context.Context, pkg, binary string) error {
	_, err := c.run(ctx, c.target(), "build",
		"-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", binary, pkg)
	return err
}

// init builds process 1.
func (c *compiler) init(ctx context.Context, work string) ([]byte, error) {
	binary := filepath.Join(work, "init")
	if err := c.program(ctx, initPackage, binary); err != nil {
		return nil, err
	}
	return os.ReadFile(binary)
}

// busybox builds u-root's commands of these names into one program, which goes
// by the name that it is called by.
func (c *compiler) busybox(ctx context.Context, work string, commands []string) ([]byte, error) {
	// makebb is a program of the host's that is told of the target by its
	// environment; so it is built first.
	makebb := filepath.Join(work, "makebb")
	if _, err := c.run(ctx, nil, "build", "-o", makebb, makebbPackage); err != nil {
		return nil, err
	}
	binary := filepath.Join(work, "bb")
	args := []string{"-o", binary, "-gen-dir", filepath.Join(work, "src")}
	for _, name := range commands {
		args = append(args, commandPath(name))
	}
	if _, err := c.execute(ctx, c.target(), makebb, args...); err != nil {
		return nil, fmt.Errorf("building %s: %w", strings.Join(commands, " "), err)
	}
	return os.ReadFile(binary)
}
