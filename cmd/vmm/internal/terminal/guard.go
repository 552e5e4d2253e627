package terminal

import (
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"os/signal"

	"golang.org/x/sys/unix"
)

// A guard is a process that outlives this one by a moment, if this one dies in
// a way that leaves no time to restore the terminal: SIGKILL, a fault in
// mapped memory, a panic on another goroutine.
//
// It waits at a pipe. What it reads first are the terminal's modes; then a
// byte if it is not needed any more, or the end of the pipe if it is.
type guard struct {
	pipe *os.File
	cmd  *exec.Cmd
}

// startGuard runs command, which must call [Guard], for the terminal tty.
func startGuard(tty *os.File, command []string, m modes) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout = r, tty
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	g := &guard{pipe: w, cmd: cmd}
	if err := binary.Write(w, binary.NativeEndian, m); err != nil {
		g.dismiss()
		return nil, err
	}
	return g, nil
}

// dismiss ends the guard and waits for it.
func (g *guard) dismiss() {
	// Errors mean that the guard is gone, which is what is wanted.
	_, _ = g.pipe.Write([]byte{0})
	g.pipe.Close()
	_ = g.cmd.Wait()
}

// Guard is the guard's own main function: standard input is the pipe, standard
// output the terminal. It returns when there is nothing left to guard.
func Guard(pipe, tty *os.File) {
	// A signal to the process group is not for the guard, and nor is the
	// stop that a background process gets for touching its terminal.
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGTSTP, unix.SIGTTOU, unix.SIGPIPE)
	var m modes
	if err := binary.Read(pipe, binary.NativeEndian, &m); err != nil {
		return
	}
	if _, err := pipe.Read(make([]byte, 1)); err != io.EOF {
		return // dismissed
	}
	if fd := int(tty.Fd()); m.stillRaw(fd) {
		// If it fails the terminal is gone.
		_ = unix.IoctlSetTermios(fd, unix.TCSETS, &m.Saved)
	}
}
