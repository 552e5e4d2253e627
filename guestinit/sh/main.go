// Command sh is the guest's shell: the interpreter of u-root's gosh
// (mvdan.cc/sh, POSIX with most of bash), with the manners that a console of a
// virtual machine needs. Input that is not a terminal is run line by line as it
// arrives, so that a program can hold a conversation with the guest; commands
// share that input. At a terminal a plain line editor asks no questions of the
// terminal, whose answers take long over a serial port. The exit status is that
// of the last command, or what exit says, in every case.
//
//	sh [-c COMMANDS [NAME [ARGUMENT…]] | FILE [ARGUMENT…]]
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// Exit statuses of the shell's own (POSIX.1-2017 §2.8.2).
const (
	statusError       = 2
	statusNotFound    = 127
	statusInterrupted = 128 + uint8(unix.SIGINT)
)

func main() {
	os.Exit(int(run(os.Args[1:])))
}

func run(args []string) (status uint8) {
	s, err := newShell(os.Stdin, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "sh:", err)
		return statusError
	}
	switch {
	case len(args) >= 2 && args[0] == "-c":
		return s.program(strings.NewReader(args[1]), "", args[min(3, len(args)):])
	case len(args) > 0 && strings.HasPrefix(args[0], "-"):
		fmt.Fprintln(os.Stderr, "usage: sh [-c COMMANDS [NAME [ARGUMENT...]] | FILE [ARGUMENT...]]")
		return statusError
	case len(args) > 0:
		return s.file(args[0], args[1:])
	case term.IsTerminal(int(os.Stdin.Fd())):
		return s.interactive()
	default:
		return s.lines(&byteReader{r: os.Stdin})
	}
}

// A shell is an interpreter and how its last command ended.
type shell struct {
	runner *interp.Runner
	stderr io.Writer
	status uint8
}

func newShell(stdin io.Reader, stdout, stderr io.Writer) (*shell, error) {
	runner, err := interp.New(interp.StdIO(stdin, stdout, stderr))
	if err != nil {
		return nil, err
	}
	runner.Reset()
	return &shell{runner: runner, stderr: stderr}, nil
}

// file runs the script in a file.
func (s *shell) file(name string, args []string) (status uint8) {
	f, err := os.Open(name)
	if err != nil {
		fmt.Fprintln(s.stderr, "sh:", err)
		return statusNotFound
	}
	defer f.Close()
	return s.program(f, name, args)
}

// program runs a script that is there as a whole, with positional parameters.
func (s *shell) program(script io.Reader, name string, args []string) (status uint8) {
	file, err := syntax.NewParser().Parse(script, name)
	if err != nil {
		fmt.Fprintln(s.stderr, "sh:", err)
		return statusError
	}
	if err := interp.Params(append([]string{"--"}, args...)...)(s.runner); err != nil {
		fmt.Fprintln(s.stderr, "sh:", err)
		return statusError
	}
	s.run(context.Background(), file)
	return s.status
}

// lines runs what it reads as soon as a line makes it whole.
func (s *shell) lines(script io.Reader) (status uint8) {
	parser := syntax.NewParser()
	err := parser.Interactive(script, func(commands []*syntax.Stmt) bool {
		return parser.Incomplete() || s.runAll(context.Background(), commands)
	})
	if err != nil {
		fmt.Fprintln(s.stderr, "sh:", err)
		return statusError
	}
	return s.status
}

// runAll runs commands, and reports whether the shell goes on after them.
func (s *shell) runAll(ctx context.Context, commands []*syntax.Stmt) (goOn bool) {
	for _, command := range commands {
		s.run(ctx, command)
		if s.runner.Exited() {
			return false
		}
	}
	return true
}

// run runs a part of a script.
func (s *shell) run(ctx context.Context, part syntax.Node) {
	err := s.runner.Run(ctx, part)
	exit, isExit := interp.IsExitStatus(err)
	switch {
	case err == nil:
		s.status = 0
	case isExit:
		s.status = exit
	case ctx.Err() != nil:
		s.status = statusInterrupted
	default:
		fmt.Fprintln(s.stderr, "sh:", err)
		s.status = statusError
	}
}

// interruptible runs commands until Ctrl-C. The signal reaches the commands by
// itself; the context stops what the shell does on its own.
func (s *shell) interruptible(commands []*syntax.Stmt) (goOn bool) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	goOn = s.runAll(ctx, commands)
	if ctx.Err() != nil {
		fmt.Fprintln(s.stderr) // after the terminal's "^C"
	}
	return goOn
}

// A byteReader reads single bytes, so that what follows a command is left to
// the command. The last line may lack its end; the parser wants one.
type byteReader struct {
	r     io.Reader
	ended bool
}

func (b *byteReader) Read(p []byte) (int, error) {
	if b.ended {
		return 0, io.EOF
	}
	n, err := b.r.Read(p[:min(1, len(p))])
	if n == 0 && err == io.EOF {
		b.ended = true
		return copy(p, "\n"), nil
	}
	return n, err
}
