package session

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
)

// A journal is the directory of a run that is being written.
type journal struct {
	dir     string
	run     *Run
	file    *os.File // of samples, locked
	samples []compare.Sample
	now     func() time.Time
}

// errBusy is why a run cannot be written: somebody does.
var errBusy = errors.New("another vmm compare writes there")

// openJournal opens dir for the run, or for the rest of it if it was begun there
// and not finished. It makes the directory if it is not there. A run of other things is
// left alone: the error says what differs.
func openJournal(dir string, run *Run) (_ *journal, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	// The lock comes first, so that of two that begin a run one waits for no
	// one and loses.
	f, err := os.OpenFile(filepath.Join(dir, samplesFile), os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o666)
	if err != nil {
		return nil, err
	}
	j := &journal{dir: dir, run: run, file: f, now: time.Now}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fmt.Errorf("%s: %w", dir, errBusy)
	} else if err != nil {
		return nil, fmt.Errorf("%s: cannot be locked: %w", f.Name(), err)
	}
	begun, err := ReadRun(dir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		if info, err := f.Stat(); err != nil || info.Size() > 0 {
			return nil, errors.Join(err, fmt.Errorf("%s has samples of a run that is not described; move it away, or choose another directory", dir))
		}
		// A run that goes on has the same seed.
		run.Seed = cmp.Or(run.Seed, rand.Uint64())
		return j, j.writeRun()
	case err != nil:
		return nil, err
	}
	if err := begun.continuedBy(run); err != nil {
		return nil, fmt.Errorf("%s has a run that this one cannot go on with:\n%w\nchoose another --out, or remove that directory", dir, err)
	}
	j.run = begun
	j.run.Arms = run.Arms // of those that are not there, some may be new
	return j, j.readSamples()
}

// readSamples reads what is there, and cuts off the torn line that a crash may
// have left at the end.
func (j *journal) readSamples() error {
	text, err := io.ReadAll(j.file)
	if err != nil {
		return err
	}
	whole := bytes.LastIndexByte(text, '\n') + 1
	if j.samples, err = compare.ReadSamples(bytes.NewReader(text[:whole])); err != nil {
		return fmt.Errorf("%s: %w", j.file.Name(), err)
	}
	if whole == len(text) {
		return nil
	}
	return j.file.Truncate(int64(whole))
}

// record adds a sample. What cannot be written whole, as on a full disk, is
// taken back.
func (j *journal) record(s compare.Sample) error {
	s.When, s.Host = j.now(), j.run.Digest
	before, err := j.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	if err := compare.WriteSample(j.file, &s); err != nil {
		// The next run would cut it off as well.
		_ = j.file.Truncate(before)
		return err // names the file
	}
	j.samples = append(j.samples, s)
	return nil
}

// of returns the samples of an experiment.
func (j *journal) of(experiment string) []compare.Sample {
	var samples []compare.Sample
	for _, s := range j.samples {
		if s.Experiment == experiment {
			samples = append(samples, s)
		}
	}
	return samples
}

// writeRun puts the description in the place of the one before.
func (j *journal) writeRun() (err error) {
	text, err := json.MarshalIndent(j.run, "", "  ")
	if err != nil {
		return err
	}
	name := filepath.Join(j.dir, runFile)
	if err := os.WriteFile(name+".new", append(text, '\n'), 0o666); err != nil {
		return errors.Join(err, os.Remove(name+".new"))
	}
	return os.Rename(name+".new", name)
}

func (j *journal) close() error { return j.file.Close() }
