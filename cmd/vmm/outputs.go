package main

import (
	"errors"
	"io"
	"os"
)

// outputs are the files that boot writes. They are opened before the guest
// runs, so that what is wrong with one shows at once, and emptied only when it
// does, so that a wrong kernel name does not cost the results of the last run.
type outputs struct {
	console *os.File
	stats   io.Writer
	trace   io.Writer

	files []*outputFile
	begun bool
}

type outputFile struct {
	*os.File
	created bool // it was not there before
}

// openOutputs opens the files that o names, or what takes their place.
func (a *app) openOutputs(o *bootOptions) (_ *outputs, err error) {
	out := &outputs{console: a.stdout, stats: a.messages, trace: a.messages}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	if o.consoleOutput != "" {
		if out.console, err = out.open(o.consoleOutput); err != nil {
			return nil, err
		}
	}
	if o.statsFile != "" {
		if out.stats, err = out.open(o.statsFile); err != nil {
			return nil, err
		}
	}
	if o.traceFile != "" {
		if out.trace, err = out.open(o.traceFile); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (out *outputs) open(path string) (*os.File, error) {
	_, err := os.Lstat(path)
	created := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	out.files = append(out.files, &outputFile{f, created})
	return f, nil
}

// begin empties the files.
func (out *outputs) begin() error {
	out.begun = true
	for _, f := range out.files {
		if info, err := f.Stat(); err != nil {
			return err
		} else if !info.Mode().IsRegular() {
			continue // a pipe or a terminal has nothing to empty
		}
		if err := f.Truncate(0); err != nil {
			return err
		}
	}
	return nil
}

// close closes the files. If there was no begin it leaves none behind.
func (out *outputs) close() error {
	var errs []error
	for _, f := range out.files {
		errs = append(errs, f.Close())
		if f.created && !out.begun {
			errs = append(errs, os.Remove(f.Name()))
		}
	}
	return errors.Join(errs...)
}
