package arm

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"time"
)

// A pipe is one between this process and an instance.
type pipe struct{ r, w *os.File }

// pipes are all that an instance has. The marks' are descriptor 3 there.
type pipes struct {
	stdin, stdout, stderr, marks pipe
}

// openPipes makes those that are needed.
func openPipes(marks Marks) (*pipes, error) {
	p := &pipes{}
	want := []*pipe{&p.stdin, &p.stdout, &p.stderr}
	if marks == EventMarks || marks == ByteMarks {
		want = append(want, &p.marks)
	}
	for _, one := range want {
		r, w, err := os.Pipe()
		if err != nil {
			p.closeTheirs()
			p.closeOurs()
			return nil, err
		}
		*one = pipe{r, w}
	}
	return p, nil
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
	case errors.Is(err, io.EOF):
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.New("a process that is not known to belong to it holds its output")
	}
	return err
}
