package arm

import (
	"context"
	"errors"
)

// A chrootArm gives the program another root directory, by chroot(8).
type chrootArm struct{ about }

func newChroot() Arm {
	return chrootArm{about{
		name: "chroot", kind: Process, summary: "a process with a root directory of its own, without /proc and /dev",
		install: "apt-get install coreutils", passes: hostPasses,
	}}
}

func (chrootArm) Probe(ctx context.Context, _ *Env) (string, error) {
	if err := needRoot(); err != nil {
		return "", err
	}
	return versionOf(ctx, "chroot", "--version")
}

func (chrootArm) Prepare(_ context.Context, _ *Env, root, _ string) (Prepared, error) {
	chroot, err := findProgram("chroot")
	if err != nil {
		return nil, err
	}
	return plain{files: []string{root}, access: chrootAccess, command: func(id string, argv []string, _ Extras) (*Command, error) {
		return &Command{ID: id, Argv: append([]string{chroot, root}, argv...)}, nil
	}}, nil
}

func chrootAccess(x Extras) (Access, error) {
	if x.File != "" {
		return Access{}, errors.New("outside of its root directory there is no file for it")
	}
	return hostNetwork, nil
}
