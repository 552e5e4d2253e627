package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/syntax"
)

// interactive reads commands from the terminal until exit or Ctrl-D.
func (s *shell) interactive() (status uint8) {
	obeyKeys()
	editor := newEditor()
	for goOn := true; goOn; {
		parser := syntax.NewParser()
		in := &promptReader{editor: editor, prompt: func() string {
			if parser.Incomplete() {
				return "> "
			}
			return s.runner.Dir + " # "
		}}
		err := parser.Interactive(in, func(commands []*syntax.Stmt) bool {
			goOn = parser.Incomplete() || s.interruptible(commands)
			return goOn
		})
		switch {
		case err != nil: // a syntax error costs the line, not the shell
			fmt.Fprintln(s.stderr, "sh:", err)
			s.status = statusError
		case goOn: // end of input
			fmt.Fprintln(s.stderr)
			return s.status
		}
		if in.err != nil && !errors.Is(in.err, io.EOF) {
			fmt.Fprintln(s.stderr, "sh:", in.err)
			return statusError
		}
	}
	return s.status
}

// obeyKeys keeps the shell alive when a key sends a signal to it and its
// commands. There is no job control, so that nothing could continue a command
// that Ctrl-Z has stopped: it is ignored, by commands as well.
func obeyKeys() {
	signal.Notify(make(chan os.Signal, 1), unix.SIGINT, unix.SIGQUIT)
	signal.Ignore(unix.SIGTSTP)
}

// A promptReader asks for a line whenever the parser wants more.
type promptReader struct {
	editor  *editor
	prompt  func() string
	pending string // of a line that did not fit
	err     error
}

func (r *promptReader) Read(p []byte) (n int, err error) {
	if r.pending == "" {
		var line string
		if line, r.err = r.editor.line(r.prompt()); r.err != nil {
			return 0, r.err
		}
		r.pending = line + "\n"
	}
	n = copy(p, r.pending)
	r.pending = r.pending[n:]
	return n, nil
}

// An editor reads lines from the terminal with history and completion.
type editor struct {
	terminal *term.Terminal
}

func newEditor() *editor {
	terminal := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{keyReader{os.Stdin}, os.Stdout}, "")
	terminal.AutoCompleteCallback = func(line string, cursor int, key rune) (string, int, bool) {
		if key != '\t' {
			return "", 0, false
		}
		head := complete(line[:cursor])
		return head + line[cursor:], len(head), true
	}
	return &editor{terminal}
}

// line reads a line. The terminal is raw only meanwhile: commands find it as
// they expect it.
func (e *editor) line(prompt string) (string, error) {
	in := int(os.Stdin.Fd())
	cooked, err := term.MakeRaw(in)
	if err != nil {
		return "", err
	}
	defer term.Restore(in, cooked)
	if columns, rows, err := term.GetSize(in); err == nil && columns > 0 && rows > 0 {
		_ = e.terminal.SetSize(columns, rows)
	}
	e.terminal.SetPrompt(prompt)
	line, err := e.terminal.ReadLine()
	if errors.Is(err, term.ErrPasteIndicator) {
		err = nil
	}
	return line, err
}

// The keys that keyReader changes, and what to.
const (
	keyInterrupt = 0x03 // Ctrl-C
	keyEnd       = 0x05 // Ctrl-E: to the end of the line
	keyKill      = 0x15 // Ctrl-U: delete all before the cursor
)

// A keyReader reads one key's byte at a time, so that what is typed ahead is
// left to the commands. Ctrl-C, which term.Terminal takes for the end of input,
// clears the line.
type keyReader struct{ r io.Reader }

func (k keyReader) Read(p []byte) (int, error) {
	n, err := k.r.Read(p[:min(1, len(p))])
	if n == 1 && p[0] == keyInterrupt {
		return copy(p, []byte{keyEnd, keyKill}), err
	}
	return n, err
}

// complete completes the last word of line as far as it is certain: to a
// command where the line begins, else to a file.
func complete(line string) string {
	start := strings.LastIndexAny(line, " \t;|&<>(") + 1
	word := line[start:]
	var found []string
	if strings.TrimSpace(line[:start]) == "" && !strings.Contains(word, "/") {
		for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
			found = append(found, match(dir+"/", word)...)
		}
	} else {
		dir, base := filepath.Split(word)
		found = match(dir, base)
		for i := range found {
			found[i] = dir + found[i]
		}
	}
	if whole := commonPrefix(found); whole != "" {
		word = whole
	}
	return line[:start] + word
}

// match returns the names in dir that begin with prefix, with what is to follow
// each: "/" after a directory, else a space.
func match(dir, prefix string) (names []string) {
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if !strings.HasPrefix(name, prefix) {
			continue
		}
		if entry.IsDir() {
			name += "/"
		} else {
			name += " "
		}
		names = append(names, name)
	}
	return names
}

// commonPrefix returns what all words begin with.
func commonPrefix(words []string) string {
	if len(words) == 0 {
		return ""
	}
	prefix := words[0]
	for _, word := range words[1:] {
		for !strings.HasPrefix(word, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return prefix
}
