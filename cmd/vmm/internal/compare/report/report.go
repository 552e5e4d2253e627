// Package report says what a run has measured: in a table for the terminal, in
// Markdown, and as a page for a browser, which needs nothing but itself.
//
// All three are made of the same page: a verdict for each of the things that are
// said of virtual machines and containers, plots, tables, and how it was measured.
// Beside each verdict and table is the command that prints its raw samples.
//
// What arms have said is in it, and arms run programs that nobody vouches for: it
// is cleaned of what does not show when it is read, and quoted as each form
// demands.
package report

import (
	"io"
	"os"
	"path/filepath"
)

// The names of the files that Render writes.
const (
	MarkdownFile = "report.md"
	HTMLFile     = "report.html"
)

// Render writes the reports of the run in dir into it, and to w the one for a
// terminal.
func Render(w io.Writer, dir string) error {
	e, err := read(dir)
	if err != nil {
		return err
	}
	p, err := e.page()
	if err != nil {
		return err
	}
	for name, render := range map[string]func(io.Writer, *page) error{MarkdownFile: markdown, HTMLFile: hypertext} {
		if err := writeFile(filepath.Join(dir, name), p, render); err != nil {
			return err
		}
	}
	return terminal(w, p)
}

// writeFile writes a report under another name first, so that a full disk leaves
// the one that was there.
func writeFile(name string, p *page, render func(io.Writer, *page) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".report-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := render(f, p); err != nil {
		return err
	}
	if err := f.Chmod(0o644); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}
