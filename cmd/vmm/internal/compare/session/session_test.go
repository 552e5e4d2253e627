package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
	"microvm/cmd/vmm/internal/compare/experiment"
)

// runVariable makes the test binary a program that makes a run in the directory that it
// names, to be killed.
const runVariable = "SESSION_TEST_RUN"

func TestMain(m *testing.M) {
	dir := os.Getenv(runVariable)
	if dir == "" {
		os.Exit(m.Run())
	}
	if err := Make(context.Background(), options(dir)); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// quick is a fake arm that does nothing, slow one that takes a while.
var (
	quick = armtest.Fake{Named: "quick", Script: armtest.Begin + armtest.End}
	slow  = armtest.Fake{Named: "slow", Script: armtest.Begin + "sleep 0.2; " + armtest.End}
)

// options are those of a run in dir with the experiment start.
func options(dir string, arms ...arm.Arm) *Options {
	if arms == nil {
		arms = []arm.Arm{quick, slow}
	}
	return &Options{
		Dir: dir, Argv: []string{"vmm", "compare"}, Version: "1", Arms: arms,
		Experiments: []*experiment.Experiment{experiment.Start},
		Effort:      experiment.Effort{Name: "brief", Rounds: 3, Instances: 1, Patience: 5 * time.Second},
		Env:         arm.Env{GuestInit: "/dev/null", VMM: "/dev/null"}, Program: "/dev/null",
	}
}

// checkRun fails the test unless the run in dir is finished, and has each start once.
func checkRun(t *testing.T, dir string) *Run {
	t.Helper()
	run, err := ReadRun(dir)
	if err != nil {
		t.Fatal(err)
	}
	if run.Finished.IsZero() || !slices.Equal(run.Completed, run.Experiments) {
		t.Errorf("finished %v, completed %v of %v", run.Finished, run.Completed, run.Experiments)
	}
	samples, err := ReadSamples(dir)
	if err != nil {
		t.Fatal(err)
	}
	times := make(map[string]int)
	for _, s := range samples {
		if s.Host != run.Digest || s.Experiment != "start" {
			t.Errorf("sample of %q on %q", s.Experiment, s.Host)
		}
		if s.To == compare.Payload && s.Failed == "" {
			times[fmt.Sprintf("%s %s %d", s.Arm, s.Cache, s.Round)]++
		}
	}
	for _, name := range []string{experiment.NullArm, "quick", "slow"} {
		for round := range 3 {
			if n := times[fmt.Sprintf("%s warm %d", name, round)]; n != 1 {
				t.Errorf("%s was started %d times in round %d", name, n, round)
			}
		}
	}
	return run
}

// workLeft are the directories of prepared arms that are left.
func workLeft(t *testing.T, tmp string) []string {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(tmp, workPrefix+"*"))
	if err != nil {
		t.Fatal(err)
	}
	return left
}

func TestMake(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := filepath.Join(t.TempDir(), "run")
	missing := armtest.Fake{Named: "missing", Broken: errors.New("is not installed")}
	broken := armtest.Fake{Named: "broken", Script: "echo no such image; exit 3"}
	var told []Progress
	unwanted := armtest.Fake{Named: "unwanted", Script: armtest.Begin + armtest.End}
	unmarked := armtest.Fake{Named: "unmarked", Script: ":"}
	o := options(dir, quick, missing, slow, broken, unwanted, unmarked)
	o.Only = []string{"quick", "missing", "slow", "broken", "unmarked"}
	o.Tell = func(p Progress) { told = append(told, p) }
	if err := Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	run := checkRun(t, dir)
	for i, want := range []string{"", "is not installed", "", "no such image", "was not asked for", "mark of its payload was not seen"} {
		if got := run.Arms[i]; (want == "") != (got.Problem == "") || !strings.Contains(got.Problem, want) {
			t.Errorf("arm %s has the problem %q, want %q", got.Name, got.Problem, want)
		}
	}
	if last := told[len(told)-1]; last.Doing != "start" || last.Part != 1 || last.Parts != 1 || last.Step == 0 || last.Step >= last.Steps {
		t.Errorf("the last that was told is %+v", last)
	}
	if left := workLeft(t, tmp); len(left) > 0 {
		t.Errorf("%v are left", left)
	}

	// Once more is nothing more.
	before, err := ReadSamples(dir)
	if err != nil {
		t.Fatal(err)
	}
	o.Tell = nil
	if err := Make(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if after, err := ReadSamples(dir); err != nil || len(after) != len(before) {
		t.Errorf("a finished run that goes on has %d samples, and had %d", len(after), len(before))
	}
}

func TestMakeNothing(t *testing.T) {
	missing := armtest.Fake{Named: "missing", Broken: errors.New("is not installed")}
	err := Make(t.Context(), options(t.TempDir(), missing))
	if !errors.Is(err, ErrNoArm) {
		t.Errorf("a run without a usable arm: %v", err)
	}
	o := options(t.TempDir())
	o.Program = "/no/such/payload"
	if err := Make(t.Context(), o); err == nil || !strings.Contains(err.Error(), "payload: ") || !strings.Contains(err.Error(), "/no/such/payload") {
		t.Errorf("a run without a payload: %v", err)
	}
}

// TestMakeStopped: a run that is stopped goes on where it was.
func TestMakeStopped(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	dir := t.TempDir()
	stop := errors.New("stopped by a test")
	ctx, cancel := context.WithCancelCause(t.Context())
	o := options(dir)
	o.Tell = func(p Progress) {
		if p.Step == 3 {
			time.AfterFunc(50*time.Millisecond, func() { cancel(stop) }) // in the middle of an instance
		}
	}
	started := time.Now()
	if err := Make(ctx, o); !errors.Is(err, stop) || !strings.Contains(err.Error(), "is kept in "+dir+"; the same command goes on") {
		t.Fatalf("it ended with %v", err)
	}
	if took := time.Since(started); took > 4*time.Second {
		t.Errorf("it was stopped after %v", took)
	}
	if left := workLeft(t, tmp); len(left) > 0 {
		t.Errorf("%v are left", left)
	}
	if run, err := ReadRun(dir); err != nil || !run.Finished.IsZero() || len(run.Completed) > 0 {
		t.Errorf("%v, finished %v, completed %v", err, run.Finished, run.Completed)
	}
	missing := armtest.Fake{Named: "missing", Broken: errors.New("is not installed")}
	if err := Make(t.Context(), options(dir, missing, quick, slow)); err != nil {
		t.Fatal(err)
	}
	if run := checkRun(t, dir); len(run.Arms) != 3 {
		t.Errorf("the run has the arms %+v, want the one that is missing as well", run.Arms)
	}
}

// TestMakeKilled: so does one whose process is killed at any time, again and
// again; and what it was running ends with it.
func TestMakeKilled(t *testing.T) {
	dir, tmp := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	t.Setenv(runVariable, dir)
	for kills := 0; ; kills++ {
		cmd := exec.Command(os.Args[0])
		cmd.Stderr = os.Stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		kill := time.AfterFunc(time.Duration(600+100*kills)*time.Millisecond, func() { _ = cmd.Process.Kill() }) // it may have ended
		err := cmd.Wait()
		kill.Stop()
		orphans(t, cmd.Process.Pid)
		if err == nil {
			t.Logf("killed %d times", kills)
			if left := workLeft(t, tmp); len(left) > 0 {
				t.Errorf("%v are left", left)
			}
			break
		}
		if status, ok := cmd.ProcessState.Sys().(unix.WaitStatus); kills > 20 || ok && !status.Signaled() {
			t.Fatalf("after %d kills: %v", kills, err)
		}
	}
	checkRun(t, dir)
}

// orphans waits for the arms' processes of the program that was pid to end, which the
// kernel tells them.
func orphans(t *testing.T, pid int) {
	t.Helper()
	mark := fmt.Sprintf("vmmcompare%d-", pid)
	for range 100 {
		var left []string
		environments, err := filepath.Glob("/proc/[0-9]*/environ")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range environments {
			if text, err := os.ReadFile(name); err == nil && strings.Contains(string(text), mark) {
				left = append(left, name)
			}
		}
		if len(left) == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("processes of arms are left")
}

// TestMakeDiskFull: the error names the file, and what was done stays.
func TestMakeDiskFull(t *testing.T) {
	dir := t.TempDir()
	if err := os.Symlink("/dev/full", filepath.Join(dir, samplesFile)); err != nil {
		t.Fatal(err)
	}
	err := Make(t.Context(), options(dir))
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), "start: ") || !strings.Contains(err.Error(), samplesFile) {
		t.Errorf("it ended with %v", err)
	}
}

func TestKernels(t *testing.T) {
	ours, other := armtest.Fake{Named: everyKernel}, armtest.Fake{Named: "other"}
	var names []string
	for _, a := range withKernels([]arm.Arm{ours, other}, []Kernel{{"small", "/s"}, {"stock", "/k"}}) {
		names = append(names, a.Name())
	}
	if want := []string{"vmm-small", "vmm-stock", "other"}; !slices.Equal(names, want) {
		t.Errorf("the arms are %v, want %v", names, want)
	}
}
