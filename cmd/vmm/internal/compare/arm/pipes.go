package arm

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A pipe is one between this process and an instance.
type pipe struct{ r, w *os.File }

// pipes are all that an instance has. The marks' are descriptor 3 there.
type pipes struct {
	stdin, stdout, stderr, marks pipe
}

// openPipes makes those that an instance of c needs.
func openPipes(c *Command) (_ *pipes, err error) {
	p := &pipes{}
	defer func() {
		if err != nil {
			p.closeTheirs()
			p.closeOurs()
		}
	}()
	want := []*pipe{&p.stderr}
	if c.Terminal {
		if err := p.openTerminal(); err != nil {
			return nil, err
		}
	} else {
		want = append(want, &p.stdin, &p.stdout)
	}
	if c.Marks == EventMarks || c.Marks == ByteMarks {
		want = append(want, &p.marks)
	}
	for _, one := range want {
		if one.r, one.w, err = os.Pipe(); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// openTerminal makes standard input and output a terminal that leaves bytes as they
// are. Our end is there twice, so that the input can be closed.
func (p *pipes) openTerminal() error {
	ours, theirs, err := pty.Open()
	if err != nil {
		return err
	}
	p.stdin.r, p.stdout = theirs, pipe{ours, theirs}
	if _, err := term.MakeRaw(int(theirs.Fd())); err != nil {
		return err
	}
	p.stdin.w, err = duplicate(ours)
	return err
}

// duplicate opens again what f is, which keeps its deadlines.
func duplicate(f *os.File) (*os.File, error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var again int
	var dupErr error
	err = conn.Control(func(fd uintptr) { again, dupErr = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, os.NewSyscallError("fcntl", dupErr)); err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(again), f.Name()), nil
}

// connect gives cmd its ends.
func (p *pipes) connect(cmd *exec.Cmd) {
	cmd.Stdin, cmd.Stdout, cmd.Stderr = p.stdin.r, p.stdout.w, p.stderr.w
	if p.marks.w != nil {
		cmd.ExtraFiles = []*os.File{p.marks.w}
	}
}

// closeTheirs closes the instance's ends. Closing a file that is not there does
// nothing.
func (p *pipes) closeTheirs() {
	for _, f := range []*os.File{p.stdin.r, p.stdout.w, p.stderr.w, p.marks.w} {
		f.Close()
	}
}

// closeOurs closes this process's ends.
func (p *pipes) closeOurs() {
	for _, f := range []*os.File{p.stdin.w, p.stdout.r, p.stderr.r, p.marks.r} {
		f.Close()
	}
}

// expireTime is how long it may take to read what is in the pipes.
const expireTime = time.Second

// expire lets the readers end, even if the other end of a pipe is never closed.
func (p *pipes) expire() {
	for _, f := range []*os.File{p.stdout.r, p.stderr.r, p.marks.r} {
		// It fails for a pipe that is not there.
		_ = f.SetReadDeadline(time.Now().Add(expireTime))
	}
}

// drain reads to the end of r.
func drain(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return end(err)
}

// end turns how reading a pipe has ended into what is wrong with that.
func end(err error) error {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, unix.EIO): // of a terminal whose other end is closed
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("a process that is not known to belong to it holds its output")
	}
	return err
}
