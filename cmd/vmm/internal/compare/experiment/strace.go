package experiment

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// A callTrace is what was seen of an instance: of all processes that its first one
// and their children have started.
type callTrace struct {
	payload  callCounts          // of processes that run the payload
	arm      callCounts          // of all others, until a guest runs
	guest    callCounts          // of all others from the first KVM_RUN on
	executed map[string]struct{} // paths given to execve, found or not, if strace(1) has seen it
}

func newCallTrace() callTrace {
	return callTrace{make(callCounts), make(callCounts), make(callCounts), make(map[string]struct{})}
}

// callCounts is how often each system call was made, by name.
type callCounts map[string]int

func (c callCounts) total() (n int) {
	for _, calls := range c {
		n += calls
	}
	return n
}

// errNoStrace is why calls cannot be counted.
var errNoStrace = errors.New("strace is not installed: apt-get install strace")

// errElsewhere is why a container's calls cannot be counted.
var errElsewhere = errors.New("the payload is not started by the arm's own processes, but by a daemon's, whose calls are not counted")

// traceExecs are options by which strace shows only execve. It need not stop a process
// at other calls then, if it may filter them in the kernel: without privileges the
// filter would take those of programs that have more.
func traceExecs() []string {
	options := []string{"--trace=execve,execveat"}
	if os.Geteuid() == 0 {
		options = append(options, "--seccomp-bpf")
	}
	return options
}

// trace runs a payload that does nothing in an arm, to its end, under strace, which
// shows all system calls if no options say otherwise.
func (s *Session) trace(ctx context.Context, a PreparedArm, options ...string) (callTrace, error) {
	path, err := exec.LookPath("strace")
	if err != nil {
		return callTrace{}, errNoStrace
	}
	pipe := filepath.Join(s.Dir, "strace")
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		return callTrace{}, fmt.Errorf("mkfifo %s: %w", pipe, err)
	}
	defer os.Remove(pipe)
	// A trace of any length takes neither disk nor memory. A pipe's reader that does
	// not block needs no writer to open it, and our own writer keeps the pipe
	// from its end until strace has ended.
	r, err := os.OpenFile(pipe, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return callTrace{}, err
	}
	defer r.Close()
	w, err := os.OpenFile(pipe, os.O_WRONLY, 0)
	if err != nil {
		return callTrace{}, err
	}
	var t callTrace
	var readErr error
	var reader sync.WaitGroup
	reader.Go(func() {
		t, readErr = readTrace(r)
		_, err := io.Copy(io.Discard, r) // what is left after a failure would hold up strace
		readErr = errors.Join(readErr, err)
	})
	by := append([]string{path, "--follow-forks", "--quiet=all", "--decode-pids=comm",
		"--string-limit=0", "--signal=none", "--output=" + pipe}, options...)
	a.Prepared = wrapped{a.Prepared, append(by, "--")}
	_, err = s.Complete(ctx, a, []string{program, protocol.ModeStart})
	err = errors.Join(err, w.Close())
	reader.Wait()
	return t, errors.Join(err, readErr)
}

// A wrapped arm is one whose commands are run by another command.
type wrapped struct {
	arm.Prepared
	by []string
}

// Command implements arm.Prepared.
func (w wrapped) Command(id string, argv []string) (*arm.Command, error) {
	c, err := w.Prepared.Command(id, argv)
	if err == nil {
		c.Argv = slices.Concat(w.by, c.Argv)
	}
	return c, err
}

// readTrace reads lines of strace --follow-forks --decode-pids=comm, such as
//
//	1234<payload> openat(AT_FDCWD, "/etc/hosts", O_RDONLY) = 3
//	1235<vmm> ioctl(9, KVM_RUN, 0 <unfinished ...>
//	1235<vmm> <... ioctl resumed>) = 0
func readTrace(r io.Reader) (callTrace, error) {
	t := &traceReader{callTrace: newCallTrace(), begun: make(map[string]string), runs: make(map[string]string)}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		pid, line, _ := strings.Cut(lines.Text(), "<")
		command, call, ok := strings.Cut(line, "> ")
		if ok {
			t.read(pid, command, strings.TrimLeft(call, " "))
		}
	}
	return t.callTrace, lines.Err()
}

type traceReader struct {
	callTrace
	begun    map[string]string // the path of the last execve that a process has begun
	last     string            // the last of all
	runs     map[string]string // the path of the last one that has succeeded
	guestRan bool
}

// read reads what a process does: it makes a call, or one goes on.
func (t *traceReader) read(pid, command, call string) {
	if strings.HasPrefix(call, "<... execve resumed>") {
		t.endExec(pid, call)
		return
	}
	name, arguments, ok := strings.Cut(call, "(")
	if !ok || name == "" || strings.ContainsAny(name, "<+- ") {
		return // the rest of another call, a signal, an end
	}
	if name == "ioctl" && strings.Contains(arguments, ", KVM_RUN, ") {
		t.guestRan = true
	}
	t.side(pid, command)[name]++
	if name == "execve" {
		_, path, _ := strings.Cut(arguments, `"`)
		path, _, _ = strings.Cut(path, `"`)
		t.executed[path] = struct{}{}
		t.begun[pid], t.last = path, path
		t.endExec(pid, call)
	}
}

// endExec notes the end of an execve, if it is one and has succeeded. Strace does not
// learn by it of the new name of a process in a namespace of its own.
func (t *traceReader) endExec(pid, call string) {
	if !strings.HasSuffix(call, " = 0") {
		return
	}
	path, ok := t.begun[pid]
	if !ok {
		path = t.last // another thread has begun it, and taken over the process's number
	}
	t.runs[pid] = path
}

// side returns where a process's calls are counted.
func (t *traceReader) side(pid, command string) callCounts {
	ours := filepath.Base(program)
	switch {
	case command == ours || filepath.Base(t.runs[pid]) == ours:
		return t.payload
	case t.guestRan:
		return t.guest
	}
	return t.arm
}
