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
	trace   *tracer

	files []*outputFile
	begun bool
}

type outputFile struct {
	*os.File
	flag    string // that names it
	created bool   // it was not there before
}

// openOutputs opens the files that o names, or what takes their place.
func (a *app) openOutputs(o *bootOptions) (_ *outputs, err error) {
	out := &outputs{console: a.stdout, stats: a.messages}
	defer func() {
		if err != nil {
			out.close()
		}
	}()
	if o.consoleOutput != "" {
		if out.console, err = out.open("console-output", o.consoleOutput); err != nil {
			return nil, err
		}
	}
	if o.statsFile != "" {
		if out.stats, err = out.open("stats-file", o.statsFile); err != nil {
			return nil, err
		}
	}
	var trace io.Writer = a.messages
	if o.traceFile != "" {
		if trace, err = out.open("trace-file", o.traceFile); err != nil {
			return nil, err
		}
	}
	out.trace = newTracer(trace, a.started)
	if o.traceFile != "" {
		out.trace.hold()
	}
	return out, nil
}

// open opens the file at path, which flag names.
func (out *outputs) open(flag, path string) (*os.File, error) {
	_, err := os.Lstat(path)
	created := errors.Is(err, os.ErrNotExist)
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o666)
	if err != nil {
		return nil, err
	}
	one := &outputFile{f, flag, created}
	out.files = append(out.files, one)
	return f, out.checkAlone(one)
}

// checkAlone refuses a file that another flag names too: each would write over
// what the other wrote. A terminal or a pipe takes what comes from both.
func (out *outputs) checkAlone(one *outputFile) error {
	info, err := one.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return err
	}
	for _, f := range out.files {
		if other, err := f.Stat(); err != nil {
			return err
		} else if f != one && os.SameFile(info, other) {
			return usagef("--%s and --%s are the same file, %s", f.flag, one.flag, one.Name())
		}
	}
	return nil
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
	return out.trace.release()
}

// close writes what waits and closes the files. If there was no begin it leaves
// none behind.
func (out *outputs) close() error {
	var errs []error
	if out.trace != nil {
		errs = append(errs, out.trace.flush())
	}
	for _, f := range out.files {
		errs = append(errs, f.Close())
		if f.created && !out.begun {
			errs = append(errs, os.Remove(f.Name()))
		}
	}
	return errors.Join(errs...)
}
