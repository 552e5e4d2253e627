package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/wire"
)

// An input copies standard input to the throw-away host. It can be stopped,
// which a read(2) that waits for a person's next key cannot.
type input struct {
	fd      int
	port    io.Writer
	halt    *os.File // closed to stop
	halted  *os.File // its other end
	copying sync.WaitGroup
}

// newInput prepares to copy from the descriptor fd to port.
func newInput(fd int, port io.Writer) (*input, error) {
	halted, halt, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("pipe: %w", err)
	}
	return &input{fd: fd, port: port, halt: halt, halted: halted}, nil
}

// start begins to copy.
func (in *input) start() {
	in.copying.Go(func() { _ = wire.SendStream(in.port, in) })
}

// stop ends the copying. The port must be closed, or somebody read from it.
func (in *input) stop() {
	in.halt.Close()
	in.copying.Wait()
	in.halted.Close()
}

// Read reads what there is, or io.EOF if the input was stopped.
func (in *input) Read(p []byte) (int, error) {
	fds := []unix.PollFd{{Fd: int32(in.fd), Events: unix.POLLIN}, {Fd: int32(in.halted.Fd())}}
	for {
		if _, err := unix.Poll(fds, -1); err != nil && err != unix.EINTR {
			return 0, err
		}
		if fds[1].Revents != 0 {
			return 0, io.EOF
		}
		if fds[0].Revents == 0 {
			continue
		}
		n, err := unix.Read(in.fd, p)
		switch {
		case err == unix.EINTR || err == unix.EAGAIN:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}
