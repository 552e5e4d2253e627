package arm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
)

// An Instance is a payload that runs in an arm. It is at its end, with nothing
// left of it on the host, when Wait or Kill has returned. Its methods may be
// called from any goroutine.
type Instance struct {
	command Command
	cmd     *exec.Cmd
	stdin   *os.File
	output  output
	spawn   time.Duration // of CLOCK_MONOTONIC

	mu      sync.Mutex
	passed  map[compare.Boundary]time.Duration // guarded by mu: since spawn
	changed chan struct{}                      // guarded by mu: closed at the next change of passed
	fault   error                              // guarded by mu: the first thing that it did wrong

	ended chan struct{} // closed when nothing is left
	err   error         // how it ended, valid then
	left  error         // what could not be removed, valid then
}

// A Result is what an instance has done in its life.
type Result struct {
	Status int                                // of exit, -1 if a signal ended it
	Passed map[compare.Boundary]time.Duration // since spawn
	Output string
}

// Start starts an instance, which lives until its own end, Kill, the end of ctx,
// or of this process, which the kernel tells the arm's process by SIGKILL. It has
// a session of its own, so that no signal of a terminal reaches it.
func Start(ctx context.Context, c *Command) (*Instance, error) {
	if len(c.ID) < minName {
		return nil, fmt.Errorf("%q is too short a name for an instance: it must have %d letters, so that no other process bears it by chance", c.ID, minName)
	}
	i := &Instance{
		command: *c,
		passed:  map[compare.Boundary]time.Duration{compare.Spawn: 0},
		changed: make(chan struct{}),
		ended:   make(chan struct{}),
	}
	i.cmd = exec.Command(c.Argv[0], c.Argv[1:]...)
	i.cmd.Dir = c.Dir
	i.cmd.Env = append(append(os.Environ(), c.Env...), idVariable+"="+c.ID)
	i.cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true, Pdeathsig: unix.SIGKILL}
	pipes, err := openPipes(c)
	if err != nil {
		return nil, err
	}
	pipes.connect(i.cmd)
	i.stdin = pipes.stdin.w
	started := make(chan error)
	go i.live(ctx, pipes, started)
	if err := <-started; err != nil {
		return nil, err
	}
	return i, nil
}

// live starts the arm's process and stays with it to the end of all that belongs
// to it. Its thread is the one whose end the kernel takes for this process's.
func (i *Instance) live(ctx context.Context, pipes *pipes, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(i.ended)
	i.spawn = monotonic()
	err := i.cmd.Start()
	pipes.closeTheirs()
	if err != nil {
		pipes.closeOurs()
		started <- err
		return
	}
	readers := i.read(pipes)
	stop := context.AfterFunc(ctx, func() {
		i.fail(fmt.Errorf("stopped: %w", context.Cause(ctx)))
	})
	started <- nil
	waitErr := i.cmd.Wait()
	_ = i.pass(mark{compare.Exit, monotonic()}) // passed once only
	stop()
	i.left = i.clear(waitErr == nil)
	pipes.expire() // for whoever still holds an end but is not known to belong to it
	readers.Wait()
	pipes.closeOurs()
	i.err = i.verdict(waitErr)
}

// read starts the readers of all pipes.
func (i *Instance) read(p *pipes) *sync.WaitGroup {
	var readers sync.WaitGroup
	do := func(read func() error) {
		readers.Go(func() {
			if err := read(); err != nil {
				i.fail(err)
			}
		})
	}
	stdout := io.TeeReader(p.stdout.r, &i.output)
	do(func() error { return drain(io.TeeReader(p.stderr.r, &i.output)) })
	switch i.command.Marks {
	case ClockMarks:
		do(func() error { return readClocks(stdout, i.pass) })
		return &readers
	case EventMarks:
		do(func() error { return readEvents(p.marks.r, i.pass) })
	case ByteMarks:
		do(func() error { return readBytes(p.marks.r, i.pass) })
	}
	do(func() error { return drain(stdout) })
	return &readers
}

// pass notes that a boundary was passed.
func (i *Instance) pass(m mark) error {
	since := m.at - i.spawn
	i.mu.Lock()
	defer i.mu.Unlock()
	if at, before := i.passed[m.boundary]; before {
		return fmt.Errorf("passed %q a second time, %v after the first", m.boundary, since-at)
	}
	if now := monotonic(); since < 0 || m.at > now {
		return fmt.Errorf("passed %q at a time that is not between its spawn and now: %v and %v after spawn", m.boundary, since, now-i.spawn)
	}
	i.passed[m.boundary] = since
	close(i.changed)
	i.changed = make(chan struct{})
	return nil
}

// fail ends the instance because of err, if it does not end already.
func (i *Instance) fail(err error) {
	i.mu.Lock()
	if i.fault == nil {
		i.fault = err
	}
	i.mu.Unlock()
	// What that process has started ends in clear.
	_ = i.cmd.Process.Kill()
}

// clear takes away all that is left on the host when the arm's process has ended;
// clean if by itself and with success.
func (i *Instance) clear(clean bool) error {
	if clean {
		await(open(i.find()), i.command.Linger)
		if len(i.find()) == 0 {
			return nil
		}
	}
	var err error
	if i.command.Remove != nil {
		ctx, cancel := context.WithTimeout(context.Background(), removeTime)
		defer cancel()
		err = i.command.Remove(ctx)
	}
	// A runtime that was killed early knows nothing of the cgroups that it has made.
	return errors.Join(err, kill(i.find), removeCgroups(i.command.ID))
}

// removeTime is how long an engine may take to remove an instance.
const removeTime = time.Minute

// find returns the processes of the instance, which may have just ended.
func (i *Instance) find() []int {
	words := []string{i.command.ID}
	if id, err := os.ReadFile(i.command.IDFile); err == nil && len(id) >= minName { // or it is being written
		words = append(words, strings.TrimSpace(string(id)))
	}
	return processes(i.cmd.Process.Pid, words)
}

// minName is how long the names of an instance are at least.
const minName = 8

// verdict is the error that tells how the instance ended.
func (i *Instance) verdict(waitErr error) error {
	i.mu.Lock()
	fault := i.fault
	i.mu.Unlock()
	if fault != nil {
		waitErr = nil // it was killed for it
	}
	err := errors.Join(fault, waitErr, i.left)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("%s: %w", filepath.Base(i.cmd.Path), err)
	if text := quote(i.Output()); text != "" {
		err = fmt.Errorf("%w; it said: %s", err, text)
	}
	return err
}

// PID returns the process that was started.
func (i *Instance) PID() int { return i.cmd.Process.Pid }

// Stdin is the instance's standard input, which is open until it is closed.
func (i *Instance) Stdin() io.WriteCloser { return i.stdin }

// Output returns what the instance has printed so far, console included.
func (i *Instance) Output() string { return i.output.String() }

// Passed returns the boundaries that the instance has passed, since spawn.
func (i *Instance) Passed() map[compare.Boundary]time.Duration {
	i.mu.Lock()
	defer i.mu.Unlock()
	return maps.Clone(i.passed)
}

// Await waits until the instance passes a boundary, and returns its time since
// spawn. It fails if the instance ends without it, or at the end of ctx.
func (i *Instance) Await(ctx context.Context, b compare.Boundary) (time.Duration, error) {
	for ended := false; ; {
		i.mu.Lock()
		at, passed := i.passed[b]
		changed := i.changed
		i.mu.Unlock()
		if passed {
			return at, nil
		}
		if ended {
			return 0, fmt.Errorf("ended without passing %q: %w", b, cmp.Or(i.err, ErrSilent))
		}
		select {
		case <-changed:
		case <-i.ended:
			ended = true
		case <-ctx.Done():
			return 0, fmt.Errorf("has not passed %q: %w", b, context.Cause(ctx))
		}
	}
}

// ErrSilent is why an instance has not done what it was awaited for if nothing is
// known of that.
var ErrSilent = errors.New("it ended with status 0 and did not say why")

// Processes returns every process on the host that belongs to the instance: its
// monitor, its engine's, its payload.
func (i *Instance) Processes() []int {
	if i.Ended() {
		return nil
	}
	return i.find()
}

// Ended reports whether the instance is at its end.
func (i *Instance) Ended() bool {
	select {
	case <-i.ended:
		return true
	default:
		return false
	}
}

// Wait waits for the instance's own end. At the end of ctx it kills the instance.
// An end other than with status 0 is an error, for which the result is valid, too.
func (i *Instance) Wait(ctx context.Context) (Result, error) {
	select {
	case <-i.ended:
	case <-ctx.Done():
		i.fail(fmt.Errorf("has not ended: %w", context.Cause(ctx)))
		<-i.ended
	}
	return Result{Status: i.cmd.ProcessState.ExitCode(), Passed: i.Passed(), Output: i.Output()}, i.err
}

// Kill ends the instance now. It returns what could not be removed from the host.
func (i *Instance) Kill() error {
	i.fail(errKilled)
	<-i.ended
	return i.left
}

var errKilled = errors.New("killed")
