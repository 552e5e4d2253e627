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

// A callTrace is what strace(1) has seen of an instance: of all processes that its
// first one and their children have started.
type callTrace struct {
	payload  callCounts          // of processes that run the payload
	arm      callCounts          // of all others, until a guest runs
	guest    callCounts          // of all others from the first KVM_RUN on
	executed map[string]struct{} // paths given to execve, found or not
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
var errElsewhere = errors.New("the payload is not started by the arm's own processes, but by a daemon's, which strace does not see")

// trace runs a payload that does nothing in an arm, to its end, under strace. With
// errElsewhere what it returns is of the arm's own processes.
func (s *Session) trace(ctx context.Context, a PreparedArm) (callTrace, error) {
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
	a.Prepared = wrapped{a.Prepared, []string{path, "--follow-forks", "--quiet=all", "--decode-pids=comm",
		"--string-limit=0", "--signal=none", "--output=" + pipe, "--"}}
	_, err = s.Complete(ctx, a, []string{program, protocol.ModeStart})
	err = errors.Join(err, w.Close())
	reader.Wait()
	err = errors.Join(err, readErr)
	if err == nil && a.Kind() != arm.VM && len(t.payload) == 0 {
		err = errElsewhere
	}
	return t, err
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
//
// Others say no more of calls. A process whose command is the payload's name
// is the payload.
func readTrace(r io.Reader) (callTrace, error) {
	t := callTrace{make(callCounts), make(callCounts), make(callCounts), make(map[string]struct{})}
	others := t.arm
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		_, line, _ := strings.Cut(lines.Text(), "<")
		command, call, ok := strings.Cut(line, "> ")
		name, arguments, isCall := strings.Cut(strings.TrimLeft(call, " "), "(")
		if !ok || !isCall || name == "" || strings.ContainsAny(name, "<+- ") {
			continue
		}
		if name == "ioctl" && strings.Contains(arguments, ", KVM_RUN, ") {
			others = t.guest
		}
		if name == "execve" {
			if _, path, ok := strings.Cut(arguments, `"`); ok {
				path, _, _ = strings.Cut(path, `"`)
				t.executed[path] = struct{}{}
			}
		}
		if command == filepath.Base(program) {
			t.payload[name]++
		} else {
			others[name]++
		}
	}
	return t, lines.Err()
}
