package arm

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/guestinit/payload/protocol"
)

// noSkip is set where all arms of a quick comparison must be usable: on a host with
// KVM and what ".ci/tools.sh compare" installs.
const noSkip = "MICROVM_NOSKIP"

var quickArms = []string{"process", "chroot", "bwrap", "crun", "runc", "podman", "vmm", "qemu-microvm"}

// skip skips the test because the arm cannot be used here.
func skip(t *testing.T, a Arm, reason error) {
	t.Helper()
	if os.Getenv(noSkip) != "" && slices.Contains(quickArms, a.Name()) {
		t.Fatalf("%s is set, but %s is not usable: %v", noSkip, a.Name(), reason)
	}
	t.Skipf("%s is not usable here: %v; to get it: %s", a.Name(), reason, a.Install())
}

// makeRoot makes a root directory without a program.
func makeRoot(t *testing.T, root string) {
	t.Helper()
	for _, dir := range []string{"proc", "sys", "dev", "tmp", "etc", "run"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

// buildGo builds a static program.
func buildGo(t *testing.T, path, pkg string) {
	t.Helper()
	build := exec.Command("go", "build", "-trimpath", "-o", path, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// payloadRoot makes a root directory with our payload.
func payloadRoot(t *testing.T) string {
	t.Helper()
	root := filepath.Join(t.TempDir(), "root")
	makeRoot(t, root)
	program := filepath.Join(root, "payload")
	if made, err := os.ReadFile(built(t, "build/payload")); err != nil {
		buildGo(t, program, "microvm/guestinit/payload")
	} else if err := os.WriteFile(program, made, 0o755); err != nil {
		t.Fatal(err)
	}
	return root
}

// built is the path of what make builds.
func built(t *testing.T, path string) string {
	t.Helper()
	abs, err := filepath.Abs(filepath.Join("../../../../..", path))
	if err != nil {
		t.Fatal(err)
	}
	return abs
}

// testEnv is what make has built.
func testEnv(t *testing.T) *Env {
	t.Helper()
	return &Env{
		Kernel: built(t, "build/kernels/cloud/vmlinuz"), GuestInit: built(t, "build/minimal.cpio"),
		VMM: built(t, "bin/vmm"), Memory: 512 << 20,
	}
}

// traces is what arms may leave on a host, by kind.
func traces(t *testing.T) map[string][]string {
	t.Helper()
	found := make(map[string][]string)
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	found["mounts"] = strings.Split(string(mounts), "\n")
	_ = filepath.WalkDir(cgroupRoot, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			found["cgroups"] = append(found["cgroups"], path)
		}
		return nil
	})
	for kind, pattern := range map[string]string{
		"containers": "/run/[cr]*/*", "images": "/var/lib/containers/*/*", "locks": "/dev/shm/*lock*",
		"interfaces": "/sys/class/net/*", "temporary files": filepath.Join("/tmp", Word()+"-*"),
	} {
		if found[kind], err = filepath.Glob(pattern); err != nil {
			t.Fatal(err)
		}
	}
	for _, pid := range processes(noSession, []string{Word()}) {
		found["processes"] = append(found["processes"], fmt.Sprint(pid, names([]int{pid})))
	}
	return found
}

// strangersTime is how long what others do on the host may look like something of
// ours.
const strangersTime = 10 * time.Second

// others reports whether what is called so is of another comparison on this host.
func others(name string, ours []string) bool {
	return strings.Contains(name, wordPrefix) &&
		!slices.ContainsFunc(ours, func(word string) bool { return hasWord([]byte(name), word) })
}

// wantTraces fails the test for what is there now and was not there before.
// The words are those of this test's comparisons, if not this process's.
func wantTraces(t *testing.T, before map[string][]string, words ...string) {
	t.Helper()
	for deadline := time.Now().Add(strangersTime); ; time.Sleep(strangersTime / 20) {
		var left []string
		for kind, names := range traces(t) {
			for _, name := range names {
				if !slices.Contains(before[kind], name) && !others(name, append(words, Word())) {
					left = append(left, kind+": "+name)
				}
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("left on the host: %q", left)
		}
	}
}

// prepare prepares an arm that is usable here. At the test's end it is closed.
func prepare(t *testing.T, a Arm, root string) Prepared {
	t.Helper()
	e := testEnv(t)
	version, err := a.Probe(t.Context(), e)
	if err != nil {
		skip(t, a, err)
	}
	t.Logf("%s: %s", a.Name(), version)
	dir := t.TempDir()
	p, err := a.Prepare(t.Context(), e, root, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

var instances int

// testID is one that no other instance has.
func testID() string {
	instances++
	return fmt.Sprintf("%s-%d", Word(), instances)
}

// TestArms has each arm that is usable here run our payload. Of none of them
// anything is left on the host.
func TestArms(t *testing.T) {
	root := payloadRoot(t)
	for _, a := range All() {
		t.Run(a.Name(), func(t *testing.T) {
			before := traces(t)
			defer wantTraces(t, before)
			t.Run("lives", func(t *testing.T) {
				p := prepare(t, a, root)
				t.Run("ends", func(t *testing.T) { testEnds(t, a, p) })
				t.Run("fails", func(t *testing.T) { testFails(t, a, p) })
				t.Run("killed", func(t *testing.T) { testKilled(t, a, p) })
				t.Run("several", func(t *testing.T) { testSeveral(t, a, p) })
				for _, f := range p.Files() {
					if _, err := os.Stat(f); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

// armTime is how long an instance may take on an emulated host.
const armTime = 2 * time.Minute

// begin starts the payload.
func begin(t *testing.T, p Prepared, argv ...string) *Instance {
	t.Helper()
	c, err := p.Command(testID(), append([]string{"/payload"}, argv...))
	if err != nil {
		t.Fatal(err)
	}
	return start(t, c)
}

// testEnds has an instance that ends by itself: it passes the arm's boundaries in
// their order, and what it says arrives.
func testEnds(t *testing.T, a Arm, p Prepared) {
	ctx, cancel := context.WithTimeout(t.Context(), armTime)
	defer cancel()
	r, err := begin(t, p, protocol.ModeIdentity).Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	order := slices.SortedFunc(maps.Keys(r.Passed), func(x, y compare.Boundary) int {
		return slices.Index(compare.Boundaries, x) - slices.Index(compare.Boundaries, y)
	})
	if !slices.Equal(order, a.Passes()) {
		t.Errorf("passed %v, want %v", r.Passed, a.Passes())
	}
	for i, b := range order[1:] {
		t.Logf("%s %v", b, r.Passed[b])
		if r.Passed[b] < r.Passed[order[i]] && b != compare.Exit {
			t.Errorf("passed %q before %q", b, order[i])
		}
	}
	if !strings.Contains(r.Output, protocol.TextPrefix+protocol.SystemName+" Linux") {
		t.Errorf("output %q", r.Output)
	}
}

// testFails has an instance of a program that is not there.
func testFails(t *testing.T, a Arm, p Prepared) {
	if a.Kind() == VM && a.Name() != "vmm" {
		t.Skip("a monitor does not learn of its guest's status")
	}
	c, err := p.Command(testID(), []string{"/no-such-program"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), armTime)
	defer cancel()
	i, err := Start(ctx, c)
	if err == nil {
		_, err = i.Wait(ctx)
	}
	wantError(t, err, "no-such-program")
}

// testKilled has an instance that waits, and is killed.
func testKilled(t *testing.T, a Arm, p Prepared) {
	i := begin(t, p, protocol.ModeHold)
	if slices.Contains(a.Passes(), compare.Payload) {
		ctx, cancel := context.WithTimeout(t.Context(), armTime)
		defer cancel()
		if _, err := i.Await(ctx, compare.Payload); err != nil {
			t.Fatal(err)
		}
	}
	all := i.Processes()
	if !slices.Contains(all, i.PID()) {
		t.Errorf("processes %v without %d", all, i.PID())
	}
	t.Logf("processes %v", names(all))
	if err := i.Kill(); err != nil {
		t.Error(err)
	}
	for _, pid := range all {
		if _, alive := readProcess(pid, nil); alive {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// names are those of processes.
func names(pids []int) (names []string) {
	for _, pid := range pids {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		names = append(names, strings.TrimSpace(string(name)))
	}
	return names
}

// testSeveral has instances that run at once, each of which has its own processes,
// and end with their input.
func testSeveral(t *testing.T, a Arm, p Prepared) {
	if a.Kind() == VM || !slices.Contains(a.Passes(), compare.Payload) {
		t.Skip("its payload's input is a console, or it does not tell that it waits")
	}
	ctx, cancel := context.WithTimeout(t.Context(), armTime)
	defer cancel()
	var all []*Instance
	seen := make(map[int]bool)
	for range 3 {
		i := begin(t, p, protocol.ModeHold)
		if _, err := i.Await(ctx, compare.Payload); err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	for _, i := range all {
		for _, pid := range i.Processes() {
			if seen[pid] {
				t.Errorf("process %d is of two instances", pid)
			}
			seen[pid] = true
		}
	}
	for _, i := range all {
		i.Stdin().Close()
		if _, err := i.Wait(ctx); err != nil {
			t.Error(err)
		}
	}
}
