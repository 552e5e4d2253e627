package experiment

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// A native is an arm that runs the real payload as a process, as far as it is equipped.
type native struct {
	armtest.Fake
	root     string
	equipped arm.Extras
}

// The payload is built once for all tests.
var buildPayload = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "payload-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "payload")
	build := exec.Command("go", "build", "-o", file, "microvm/guestinit/payload")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return out, err
	}
	return os.ReadFile(file)
})

// addNative adds an arm that runs the real payload to a session.
func addNative(t *testing.T, s *Session) {
	t.Helper()
	code, err := buildPayload()
	if err != nil {
		t.Fatalf("%v: %s", err, code)
	}
	if err := os.WriteFile(filepath.Join(s.Root, program), code, 0o755); err != nil {
		t.Fatal(err)
	}
	n := native{Fake: armtest.Fake{Named: "native", Is: arm.Process}, root: s.Root}
	s.Arms = append(s.Arms, PreparedArm{n, n})
}

func (n native) Prepare(context.Context, *arm.Env, string, string) (arm.Prepared, error) {
	return n, nil
}

func (n native) Files() []string { return []string{n.root} }

func (n native) Command(id string, argv []string) (*arm.Command, error) {
	return &arm.Command{ID: id, Argv: append([]string{filepath.Join(n.root, argv[0])}, argv[1:]...)}, nil
}

func (n native) Equip(x arm.Extras) (arm.Prepared, arm.Access, error) {
	n.equipped.Network = n.equipped.Network || x.Network
	return n, arm.Access{Network: "host", Host: "127.0.0.1", Listen: "127.0.0.1", File: x.File, FileAs: "file"}, nil
}

// only is the only sample of an arm's metric with n instances, which has not failed.
func (n *notebook) only(t *testing.T, arm, metric string, instances int) compare.Sample {
	t.Helper()
	samples := n.of(arm, metric)
	if len(samples) != 1 || samples[0].Failed != "" || samples[0].Instances != instances {
		t.Fatalf("%s %s: %+v, want one sample of %d instances", arm, metric, samples, instances)
	}
	return samples[0]
}

// patience is for real programs.
const patience = time.Minute
