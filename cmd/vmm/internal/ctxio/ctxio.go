// Package ctxio reads and writes terminals, pipes and files so that a context
// can interrupt it. A blocking read of a terminal cannot be: closing the file
// does not wake it.
//
// A call waits in poll(2) for the file and for an eventfd that the end of its
// context signals. The file is opened anew where that is possible, to have
// O_NONBLOCK without setting it for the programs that share the descriptor, a
// shell for one.
package ctxio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// maxWrite is the most that a pipe which polls as writable takes without
// blocking, where the descriptor could not be made non-blocking: PIPE_BUF
// (pipe(7)).
const maxWrite = 4096

// A File is one direction of a file. Only one call at a time may use it.
type File struct {
	name string
	fd   int
	own  bool // fd is ours to close
	wake int  // an eventfd
}

// NewReader returns a File that reads what f reads. It does not close f.
func NewReader(f *os.File) (*File, error) { return newFile(f, unix.O_RDONLY) }

// NewWriter returns a File that writes to what f writes to. It does not close
// f.
func NewWriter(f *os.File) (*File, error) { return newFile(f, unix.O_WRONLY) }

func newFile(f *os.File, mode int) (*File, error) {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	file := &File{name: f.Name(), fd: int(f.Fd()), wake: wake}
	if fd, err := reopen(file.fd, mode); err == nil {
		file.fd, file.own = fd, true
	}
	return file, nil
}

// reopen opens a terminal or pipe once more, without blocking. A regular file
// never blocks and has an offset, which a second opening would not share; a
// socket, or what belongs to another user, cannot be opened.
func reopen(fd, mode int) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if kind := st.Mode & unix.S_IFMT; kind != unix.S_IFCHR && kind != unix.S_IFIFO {
		return -1, unix.ENXIO
	}
	path := fmt.Sprintf("/proc/self/fd/%d", fd)
	return unix.Open(path, mode|unix.O_NONBLOCK|unix.O_CLOEXEC|unix.O_NOCTTY, 0)
}

// Close gives back what NewReader or NewWriter took.
func (f *File) Close() error {
	err := unix.Close(f.wake)
	if f.own {
		err = errors.Join(err, unix.Close(f.fd))
	}
	return err
}

// Read reads into p, waiting until there is something or ctx is done. A
// terminal whose other side is gone is at its end.
func (f *File) Read(ctx context.Context, p []byte) (int, error) {
	defer f.watch(ctx)()
	for {
		if err := f.wait(ctx, unix.POLLIN); err != nil {
			return 0, err
		}
		n, err := unix.Read(f.fd, p)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
		case err == unix.EIO: // the terminal has hung up: tty_ioctl(4)
			return 0, io.EOF
		case err != nil:
			return 0, fmt.Errorf("read %s: %w", f.name, err)
		case n == 0 && len(p) > 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Write writes all of p unless ctx is done before.
func (f *File) Write(ctx context.Context, p []byte) (written int, err error) {
	defer f.watch(ctx)()
	for len(p) > 0 {
		if err := f.wait(ctx, unix.POLLOUT); err != nil {
			return written, err
		}
		n, err := unix.Write(f.fd, p[:min(len(p), maxWrite)])
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			continue
		case err == unix.EPIPE:
			return written, fmt.Errorf("write %s: nobody reads it any more (%w)", f.name, err)
		case err != nil:
			return written, fmt.Errorf("write %s: %w", f.name, err)
		}
		written += n
		p = p[n:]
	}
	return written, nil
}

// watch makes the end of ctx signal the eventfd, until the function that it
// returns is called.
func (f *File) watch(ctx context.Context) (stop func()) {
	done := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(done)
		one := [8]byte{0: 1} // eventfd(2): an integer of 8 bytes to add
		// It fails only if the counter is near 2^64.
		_, _ = unix.Write(f.wake, one[:])
	})
	return func() {
		if !unwatch() {
			<-done // the eventfd is not ours to close before
		}
	}
}

// wait returns when the file has one of events, or hung up, or failed, or with
// ctx's error when ctx is done.
func (f *File) wait(ctx context.Context, events int16) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		fds := []unix.PollFd{{Fd: int32(f.fd), Events: events}, {Fd: int32(f.wake), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return fmt.Errorf("poll %s: %w", f.name, err)
		}
		if fds[1].Revents != 0 {
			var count [8]byte
			// From the context of this call or an earlier one; the loop
			// looks which.
			_, _ = unix.Read(f.wake, count[:])
			continue
		}
		if fds[0].Revents != 0 {
			return nil
		}
	}
}
