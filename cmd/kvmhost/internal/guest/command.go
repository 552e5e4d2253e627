package guest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"

	"github.com/creack/pty"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/command"
	"microvm/cmd/kvmhost/internal/wire"
)

// A running command is the job's, with our ends of its standard streams.
type running struct {
	pid int
	*streams
}

// start starts the job's command and the copying of its streams.
func (s *session) start(job *wire.Job) (*running, error) {
	st, err := openStreams(job)
	if err != nil {
		return nil, err
	}
	pid, err := start(job, st)
	if err != nil {
		return nil, err
	}
	if err := s.send(wire.Message{Kind: wire.Started}); err != nil {
		return nil, err
	}
	go s.input(st) // ends with this host
	return &running{pid, st}, nil
}

// finish waits for the command's end and for all that it has written, and reports
// how it ended.
func (s *session) finish(c *running, shares []wire.Share) {
	var output errgroup.Group
	output.Go(func() error { return wire.SendStream(s.stdout, c.out) })
	output.Go(func() error { return wire.SendStream(s.stderr, c.err) })
	status := wait(c.pid)
	killAll() // so that whoever still holds the pipes lets go of them
	if err := errors.Join(output.Wait(), syncShares(shares)); err != nil {
		s.fail(err)
		return
	}
	s.tell(wire.Message{Kind: wire.Exit, Status: status})
}

// fail reports that err kept the command from running or its results from
// reaching the real host.
func (s *session) fail(err error) {
	status := command.StatusFailure
	var commandErr *command.Error
	if errors.As(err, &commandErr) {
		status = commandErr.Status
	}
	s.tell(wire.Message{Kind: wire.Fail, Status: status, Text: err.Error()})
}

// streams are the command's standard streams: its ends, which it alone keeps,
// and ours.
type streams struct {
	child    [3]*os.File
	in       io.WriteCloser
	out, err io.ReadCloser
	terminal *os.File // ours of the pseudo-terminal; nil if there is none
}

// openStreams makes the pipes and the pseudo-terminal of the command.
func openStreams(job *wire.Job) (st *streams, err error) {
	st = &streams{err: io.NopCloser(strings.NewReader(""))}
	if job.Terminal {
		var tty *os.File
		if st.terminal, tty, err = pty.Open(); err != nil {
			return nil, fmt.Errorf("pseudo-terminal: %w", err)
		}
		if err = tty.Chown(int(job.UID), -1); err != nil {
			return nil, fmt.Errorf("pseudo-terminal: %w", err)
		}
		st.in, st.out = st.terminal, st.terminal
		st.child = [3]*os.File{tty, tty, tty}
		st.resize(job.Size)
	} else {
		if st.child[0], st.in, err = os.Pipe(); err != nil {
			return nil, err
		}
		if st.out, st.child[1], err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	if !job.ErrTerminal {
		st.err, st.child[2], err = os.Pipe()
	}
	return st, err
}

func (st *streams) resize(size wire.Size) {
	if st.terminal != nil {
		// The window's size is a comfort: no reason to fail.
		_ = pty.Setsize(st.terminal, &pty.Winsize{Rows: size.Rows, Cols: size.Columns})
	}
}

// start starts the job's command as the leader of a session and a process
// group, and lets go of its ends of the streams.
func start(job *wire.Job, st *streams) (pid int, err error) {
	defer func() {
		for _, f := range st.child {
			f.Close() // twice for a terminal, which does no harm
		}
	}()
	if err := os.Chdir(job.Dir); err != nil {
		return 0, err
	}
	for _, l := range job.Limits {
		if err := unix.Setrlimit(l.Resource, &unix.Rlimit{Cur: l.Cur, Max: l.Max}); err != nil {
			return 0, fmt.Errorf("resource limit %d: %w", l.Resource, err)
		}
	}
	file, err := command.Find(job.Args[0], job.Env)
	if err != nil {
		return 0, err
	}
	unix.Umask(job.Umask)
	p, err := os.StartProcess(file, job.Args, &os.ProcAttr{
		Env:   job.Env,
		Files: st.child[:],
		Sys: &syscall.SysProcAttr{
			Setsid:     true,
			Setctty:    job.Terminal, // descriptor 0
			Credential: &syscall.Credential{Uid: job.UID, Gid: job.GID, Groups: job.Groups},
		},
	})
	if err != nil {
		return 0, command.NewError(job.Args[0], err)
	}
	return p.Pid, nil
}

// wait waits for the process pid, and as process 1 must for every orphan that
// ends before it. It returns pid's exit status as a shell would see it.
func wait(pid int) int {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case err == syscall.EINTR || err == nil && got != pid:
		case err != nil: // cannot be while pid is ours to wait for
			return command.StatusFailure
		case status.Signaled():
			return command.StatusSignal + int(status.Signal())
		default:
			return status.ExitStatus()
		}
	}
}

// input passes on what the command is to read, to the end. A terminal has no
// end but its hang-up, which comes as a signal.
func (s *session) input(st *streams) {
	_ = wire.ReceiveStream(st.in, s.stdin, func() {})
	if st.terminal == nil {
		st.in.Close()
	}
}

// obey does what kvmhost asks for, until kvmhost goes away. There is no command, c,
// if it could not be started.
func (s *session) obey(c *running) {
	for {
		m, err := s.control.Receive()
		if err != nil {
			return
		}
		switch {
		case m.Kind == wire.Ping:
			s.tell(wire.Message{Kind: wire.Pong})
		case c == nil:
		case m.Kind == wire.Signal:
			_ = syscall.Kill(-c.pid, syscall.Signal(m.Number)) // it may have ended by now
		case m.Kind == wire.Resize:
			c.resize(m.Size)
		case m.Kind == wire.Closed && m.Stream == wire.Stdout:
			c.out.Close()
		case m.Kind == wire.Closed:
			c.err.Close()
		}
	}
}

// syncShares waits until everything written to the shares is with the real
// host.
func syncShares(shares []wire.Share) error {
	for _, share := range shares {
		dir, err := os.Open(share.Path)
		if err != nil {
			return err
		}
		err = unix.Syncfs(int(dir.Fd()))
		dir.Close()
		if err != nil {
			return fmt.Errorf("write back %s: %w", share.Path, err)
		}
	}
	return nil
}
