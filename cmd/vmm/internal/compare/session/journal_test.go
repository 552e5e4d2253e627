package session

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/experiment"
)

// described is a run whose like can go on with it.
func described() *Run {
	return &Run{
		Version: Version, VMM: "1", Effort: experiment.Quick, Seed: 7, Experiments: []string{"start"}, Payload: []string{"/payload", "start"},
		Memory: 1 << 27, Digest: "host", Arms: []Arm{{Name: "a", Version: "1"}, {Name: "b", Problem: "is missing"}},
		Inputs: []Input{{"payload", "/payload", 3, "abc"}},
	}
}

func open(t *testing.T, dir string, run *Run) *journal {
	t.Helper()
	j, err := openJournal(dir, run)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.close() })
	return j
}

func record(t *testing.T, j *journal, metric string) {
	t.Helper()
	if err := j.record(compare.Sample{Experiment: "start", Metric: metric}); err != nil {
		t.Fatal(err)
	}
}

// metrics are those of the samples in a run.
func metrics(t *testing.T, dir string) string {
	t.Helper()
	samples, err := ReadSamples(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, s := range samples {
		all = append(all, s.Metric)
	}
	return strings.Join(all, " ")
}

// TestJournalGoesOn: samples come after those that are there, and a line that a
// crash has torn is no sample.
func TestJournalGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "run")
	j := open(t, dir, described())
	record(t, j, "one")
	record(t, j, "two")
	j.close()
	f, err := os.OpenFile(filepath.Join(dir, samplesFile), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString(`{"experiment":"start","met`); err != nil {
		t.Fatal(err)
	}
	f.Close()

	next := described()
	next.Seed = 0 // whichever it was
	j = open(t, dir, next)
	if got := j.of("start"); len(got) != 2 || j.run.Seed != 7 {
		t.Errorf("it goes on with %+v and seed %d", got, j.run.Seed)
	}
	record(t, j, "three")
	if got := metrics(t, dir); got != "one two three" {
		t.Errorf("the samples are %s", got)
	}
	for _, s := range j.samples[2:] {
		if s.Host != "host" || time.Since(s.When) > time.Minute {
			t.Errorf("%+v has no host or time", s)
		}
	}
}

// TestJournalRefuses: a run of something else is left as it is.
func TestJournalRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		change func(*Run)
		want   string
	}{
		"effort":      {func(r *Run) { r.Effort = experiment.Full }, "effort: "},
		"host":        {func(r *Run) { r.Digest = "other" }, "host: another"},
		"seed":        {func(r *Run) { r.Seed = 8 }, "seed: 7 then, 8 now"},
		"vmm":         {func(r *Run) { r.VMM = "2" }, `version of vmm: "1" then, "2" now`},
		"experiments": {func(r *Run) { r.Experiments = nil }, "experiments: "},
		"payload":     {func(r *Run) { r.Payload[1] = "cpu" }, "payload: "},
		"memory":      {func(r *Run) { r.Memory = 1 }, "guest memory: "},
		"arms":        {func(r *Run) { r.Arms[0].Version = "2" }, `arms: ["a 1"] then, ["a 2"] now`},
		"input":       {func(r *Run) { r.Inputs[0].SHA256 = "def" }, "payload: /payload has changed"},
		"more":        {func(r *Run) { r.Inputs = append(r.Inputs, Input{Name: "kernel x", Path: "/x"}) }, "kernel x: none then, /x now"},
		"less":        {func(r *Run) { r.Inputs = nil }, "payload: /payload then, none now"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			j := open(t, dir, described())
			record(t, j, "one")
			j.close()
			other := described()
			tt.change(other)
			if _, err := openJournal(dir, other); err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "choose another --out") {
				t.Errorf("error %q, want one that says %q", err, tt.want)
			}
			if got := metrics(t, dir); got != "one" {
				t.Errorf("the samples are now %s", got)
			}
		})
	}
}

// TestJournalMistakes: what cannot be a run's directory is said so.
func TestJournalMistakes(t *testing.T) {
	write := func(name, text string) string {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	busy := t.TempDir()
	open(t, busy, described())
	for dir, want := range map[string]string{
		busy:                              errBusy.Error(),
		write("file", "") + "/file":       "not a directory",
		write(samplesFile, "{}\n"):        "samples of a run that is not described",
		write(runFile, "{"):               runFile + ": unexpected end",
		write(runFile, `{"version": 99}`): "is of format 99; this vmm reads 1",
	} {
		if _, err := openJournal(dir, described()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %q, want one that says %q", err, want)
		}
	}
	damaged := t.TempDir()
	open(t, damaged, described()).close()
	if err := os.WriteFile(filepath.Join(damaged, samplesFile), []byte("{}\nnonsense\n{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openJournal(damaged, described()); err == nil || !strings.Contains(err.Error(), samplesFile+": line 2: not a sample") {
		t.Errorf("samples with nonsense between: %v", err)
	}
}

// TestJournalDiskFull: what was there before the disk was full is still there
// after, and goes on when there is room again.
func TestJournalDiskFull(t *testing.T) {
	disk := t.TempDir()
	if err := unix.Mount("none", disk, "tmpfs", 0, "size=16k"); errors.Is(err, unix.EPERM) {
		t.Skip("SKIPPED: only root may mount a small file system to fill")
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	dir := filepath.Join(disk, "run")
	j := open(t, dir, described())
	var err error
	recorded := 0
	for ; err == nil; recorded++ {
		err = j.record(compare.Sample{Experiment: "start", Metric: "one"})
	}
	recorded--
	if !errors.Is(err, unix.ENOSPC) || !strings.Contains(err.Error(), filepath.Join(dir, samplesFile)) || recorded == 0 {
		t.Fatalf("error %q after %d samples", err, recorded)
	}
	text, err := os.ReadFile(filepath.Join(dir, samplesFile))
	if err != nil || !strings.HasSuffix(string(text), "\n") {
		t.Errorf("%v, or the last line is torn: %q", err, text[len(text)-10:])
	}
	if err := j.writeRun(); !errors.Is(err, unix.ENOSPC) {
		t.Errorf("describing the run again: %v", err)
	}
	j.close()
	if err := unix.Mount("none", disk, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		t.Fatal(err)
	}
	j = open(t, dir, described())
	record(t, j, "two")
	if got := len(strings.Fields(metrics(t, dir))); got != recorded+1 {
		t.Errorf("there are %d samples, want %d", got, recorded+1)
	}
}
