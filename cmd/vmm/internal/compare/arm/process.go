package arm

import (
	"context"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// A processArm runs the program from where it is on the host: what all others
// are measured against. It sees the host's files, not the root directory.
type processArm struct{ about }

func newProcess() Arm {
	return processArm{about{
		name: "process", kind: Process, summary: "a process of the host's", install: "it is always there", passes: hostPasses,
	}}
}

func (processArm) Probe(context.Context, *Env) (string, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "", os.NewSyscallError("uname", err)
	}
	return "Linux " + unix.ByteSliceToString(u.Release[:]), nil
}

func (processArm) Prepare(_ context.Context, _ *Env, root, _ string) (Prepared, error) {
	return plain{files: []string{root}, access: processAccess, command: func(id string, argv []string, _ Extras) (*Command, error) {
		program := filepath.Join(root, argv[0])
		return &Command{ID: id, Argv: append([]string{program}, argv[1:]...)}, nil
	}}, nil
}

func processAccess(x Extras) (Access, error) {
	a := hostNetwork
	a.File, a.FileAs = x.File, "file"
	return a, nil
}
