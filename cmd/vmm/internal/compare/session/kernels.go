package session

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"microvm/cmd/vmm/internal/compare/arm"
)

// A Kernel is one that guests are started with.
type Kernel struct{ Name, File string }

// everyKernel is the arm of which there is one for each kernel. The other
// virtual machines run the first.
const everyKernel = "vmm"

// withKernels replaces the arm that runs every kernel by one for each of them.
func withKernels(arms []arm.Arm, kernels []Kernel) []arm.Arm {
	var all []arm.Arm
	for _, a := range arms {
		if a.Name() != everyKernel || len(kernels) == 0 {
			all = append(all, a)
			continue
		}
		for _, k := range kernels {
			all = append(all, kernelArm{a, k})
		}
	}
	return all
}

// moduleDirs are the directories of the kernels' modules that there are: of one of
// the host's, where hosts keep them, of any other beside its image.
func moduleDirs(kernels []Kernel) (dirs []string) {
	for _, k := range kernels {
		release, ofHost := strings.CutPrefix(filepath.Base(k.File), "vmlinuz-")
		dir := filepath.Join(filepath.Dir(k.File), "modules")
		if ofHost {
			dir = filepath.Join("/lib/modules", release)
		}
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// A kernelArm is an arm whose guests run a kernel of their own.
type kernelArm struct {
	arm.Arm
	kernel Kernel
}

func (a kernelArm) Name() string    { return a.Arm.Name() + "-" + a.kernel.Name }
func (a kernelArm) Summary() string { return a.Arm.Summary() + ", kernel " + a.kernel.Name }

func (a kernelArm) Probe(ctx context.Context, e *arm.Env) (string, error) {
	return a.Arm.Probe(ctx, a.env(e))
}

func (a kernelArm) Prepare(ctx context.Context, e *arm.Env, root, dir string) (arm.Prepared, error) {
	return a.Arm.Prepare(ctx, a.env(e), root, dir)
}

func (a kernelArm) env(e *arm.Env) *arm.Env {
	with := *e
	with.Kernel = a.kernel.File
	return &with
}
