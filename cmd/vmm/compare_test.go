package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/host"
	"microvm/guestinit/initramfs"
	"microvm/vmm"
)

func TestCompareUsage(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ args, want string }{
		{"arm", `no action "arm"; did you mean "arms"?`},
		{"arms here", "there is: compare arms, compare report DIR, compare diff DIR DIR"},
		{"report", "compare report DIR"},
		{"diff a", "compare diff DIR DIR"},
		{"arms -- true", "a command is for a run, not for arms"},
		{"report --out a b", "compare report takes no flags"},
		{"--json", "--json: is for compare arms"},
		{"--only strat", "did you mean start?"},
		{"--arms podmen", "did you mean podman?"},
		{"--only start --skip start", "--skip: start is in --only, too"},
		{"--quick --full", "--quick: is not --full"},
		{"--instances -1", "--instances: -1; must be 1 at least"},
		{"--instances 99999999999999999999", "far too large"},
		{"--seed -1", "--seed: -1"},
		{"--time 10", "--time: \"10\": must be a time such as 90s"},
		{"--time -1m", "--time: \"-1m\": must be a time"},
		{"--kernel bzImage", "must be NAME=FILE"},
		{"--kernel a/b=x", "the name must be"},
		{"--kernel a=x --kernel a=y", "there is a kernel a already"},
		{"-- true", "--rootfs: missing: the directory that has true"},
		{"--rootfs " + dir + " -- true", "true: must be a path from the root directory on, such as /bin/true"},
		{"--rootfs " + dir + " --", "there is no command after it"},
		{"--memory 1x", "unknown unit"},
	} {
		r := run(t, program(t, "", append([]string{"compare"}, strings.Fields(tt.args)...)...))
		if r.status != vmm.StatusUsage || !strings.Contains(r.stderr, tt.want) || !strings.Contains(r.stderr, "Try: vmm help compare") {
			t.Errorf("compare %s: status %d, want one that says %q:\n%s", tt.args, r.status, tt.want, r.stderr)
		}
	}
}

func TestCompareMistakes(t *testing.T) {
	payload := comparePayload(t)
	for _, tt := range []struct{ args, want string }{
		{"report " + t.TempDir(), "is not the directory of a run"},
		{"diff " + t.TempDir() + " " + t.TempDir(), "is not the directory of a run"},
		{"--payload /no/such/payload --initrd /dev/null", "payload: stat /no/such/payload: no such file or directory"},
		{"--payload " + payload + " --initrd /dev/null --kernel k=/no/such/kernel", "kernel k: "},
		{"--payload " + payload + " --initrd /dev/null --out /proc/no", "/proc/no"},
		{"--payload " + payload + " --initrd /dev/null --arms process --rootfs " + t.TempDir() + " -- /no/such/program", "no arm is usable"},
	} {
		args := []string{"compare"}
		if !strings.Contains(tt.args, "--out") && strings.HasPrefix(tt.args, "--") {
			args = append(args, "--out", t.TempDir())
		}
		r := run(t, program(t, "", append(args, strings.Fields(tt.args)...)...))
		if r.status != vmm.StatusFailure || !strings.Contains(r.stderr, tt.want) {
			t.Errorf("compare %s: status %d, want one that says %q:\n%s", tt.args, r.status, tt.want, r.stderr)
		}
	}
}

// comparePayload is the payload that the Makefile has made, or else a new one: on an
// emulated host that takes minutes.
func comparePayload(t *testing.T) string {
	t.Helper()
	if made, err := filepath.Abs("../../build/payload"); err == nil {
		if _, err := os.Stat(made); err == nil {
			return made
		}
	}
	file := filepath.Join(t.TempDir(), "payload")
	if err := initramfs.BuildPayload(t.Context(), "", file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestCompareArms(t *testing.T) {
	r := run(t, program(t, "", "compare", "arms"))
	wants(t, "the list of arms", r.stdout, "process", "podman", "qemu-microvm", "usable")
	if r.status != 0 || r.stderr != "" {
		t.Errorf("status %d:\n%s", r.status, r.stderr)
	}
	r = run(t, program(t, "", "compare", "arms", "--json"))
	wants(t, "the list of arms in JSON", r.stdout, `"name": "crun"`, `"install": "`)
}

// TestCompareStopped: a signal ends a run in the middle of an instance, with all
// that it was running; the same command goes on with it, to a report, without a
// word where nobody looks.
func TestCompareStopped(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := filepath.Join(t.TempDir(), "run")
	args := []string{"compare", "--quick", "--only", "start", "--arms", "process", "--payload", comparePayload(t), "--initrd", "/dev/null", "--out", dir}
	cmd := program(t, "", args...)
	samples := filepath.Join(dir, "samples.jsonl")
	r := runWhile(t, cmd, func() {
		for range 1000 { // until the first sample is there
			if info, err := os.Stat(samples); err == nil && info.Size() > 0 {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		_ = cmd.Process.Signal(unix.SIGINT) // it may have failed; the test sees that
	})
	if r.status != vmm.StatusStopped || r.stdout != "" {
		t.Fatalf("status %d and output %q:\n%s", r.status, r.stdout, r.stderr)
	}
	wants(t, "the message", r.stderr, "stopped by SIGINT", "is kept in "+dir, "the same command goes on from there")
	checkNothingLeft(t, tmp, cmd.Process.Pid)

	cmd = program(t, "", args...)
	r = run(t, cmd)
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("going on: status %d:\n%s", r.status, r.stderr)
	}
	wants(t, "the report", r.stdout, "start", "process")
	checkNothingLeft(t, tmp, cmd.Process.Pid)
	if finished, err := session.ReadRun(dir); err != nil || finished.Finished.IsZero() {
		t.Errorf("the run is not finished: %v", err)
	}
	if r := run(t, program(t, "", "compare", "report", dir)); r.status != 0 || r.stderr != "" {
		t.Errorf("the report again: status %d:\n%s", r.status, r.stderr)
	}
	if r := run(t, program(t, "", "compare", "diff", dir, dir)); r.status != 0 || r.stdout == "" {
		t.Errorf("a run beside itself: status %d:\n%s", r.status, r.stderr)
	}
	if r := run(t, program(t, "", append(args, "--instances", "99")...)); r.status != vmm.StatusFailure || !strings.Contains(r.stderr, "effort: ") {
		t.Errorf("another effort: status %d:\n%s", r.status, r.stderr)
	}
}

// TestCompareClockStep: that the host's clock is set while a run is made, by hours in
// either direction, changes nothing that is measured.
func TestCompareClockStep(t *testing.T) {
	if os.Geteuid() != 0 || host.Read(os.DirFS("/")).Reality() != host.Emulated {
		t.Skip("it sets the host's clock, which is done to an emulated host only")
	}
	begun := time.Now()
	set := func(ahead time.Duration) {
		now := unix.NsecToTimeval(begun.Add(time.Since(begun) + ahead).UnixNano()) // since is of the monotonic clock
		if err := unix.Settimeofday(&now); err != nil {
			t.Error(err)
		}
	}
	defer set(0)
	dir := filepath.Join(t.TempDir(), "run")
	cmd := program(t, "", "compare", "--quick", "--only", "start", "--arms", "process", "--payload", comparePayload(t), "--initrd", "/dev/null", "--out", dir)
	running, stepped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stepped)
		for ahead := 2 * time.Hour; ; ahead = -ahead {
			select {
			case <-running:
				return
			case <-time.After(20 * time.Millisecond):
				set(ahead)
			}
		}
	}()
	r := run(t, cmd)
	close(running)
	<-stepped
	if r.status != 0 || r.stderr != "" {
		t.Fatalf("status %d:\n%s", r.status, r.stderr)
	}
	samples, err := session.ReadSamples(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range samples {
		if s.Failed != "" || s.Value <= 0 || s.Value > 60 {
			t.Errorf("%s to %s: %g s, %s", s.Arm, s.To, s.Value, s.Failed)
		}
	}
	if len(samples) == 0 {
		t.Error("there are no samples")
	}
}

// checkNothingLeft fails the test if files or processes of the program that was
// pid are left.
func checkNothingLeft(t *testing.T, tmp string, pid int) {
	t.Helper()
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Errorf("left in %s: %v, %v", tmp, left, err)
	}
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range environments {
		if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), "vmmcompare"+strconv.Itoa(pid)+"-") {
			t.Errorf("a process is left: %s", name)
		}
	}
}

// TestProgressLine: a terminal is told how far a run is, and how long it may
// take.
func TestProgressLine(t *testing.T) {
	shown, err := os.Create(filepath.Join(t.TempDir(), "terminal"))
	if err != nil {
		t.Fatal(err)
	}
	defer shown.Close()
	p := &progressLine{app: &app{stderr: shown}}
	p.show(session.Progress{Doing: "preparing podman"})
	p.show(session.Progress{Doing: "start", Part: 1, Parts: 2})
	p.show(session.Progress{Doing: "start", Part: 1, Parts: 2, Step: 4, Steps: 10}) // a run that goes on
	p.begun = p.begun.Add(-time.Minute)
	p.show(session.Progress{Doing: "start", Part: 1, Parts: 2, Step: 6, Steps: 10})
	p.show(session.Progress{Doing: "memory", Part: 2, Parts: 2, Step: 0, Steps: 3})
	text, err := os.ReadFile(shown.Name())
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`^\rpreparing podman\x1b\[K\r\[1/2\] start\x1b\[K\r\[1/2\] start 4/10\x1b\[K\r\[1/2\] start 6/10, at most 2m0s left of this\x1b\[K\r\[2/2\] memory 0/3\x1b\[K$`)
	if !want.Match(text) {
		t.Errorf("the terminal has %q, want %v", text, want)
	}
}
