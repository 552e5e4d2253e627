// Package terminal makes a person's terminal the guest's console: raw, with a
// few keys for the monitor, and as it was before whatever happens.
package terminal

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// A Raw is a terminal in raw mode: each key reaches the reader at once and
// unchanged, and no key makes a signal.
type Raw struct {
	fd    int
	modes modes
	guard *guard // nil if it could not be started

	mu       sync.Mutex
	restored bool // guarded by mu
}

// modes are the settings of a terminal before and after.
type modes struct {
	Saved, Raw unix.Termios
}

// stillRaw reports whether the terminal fd is as it was left. If it is not, or
// if it is gone, somebody else has taken it, such as a shell.
func (m *modes) stillRaw(fd int) bool {
	now, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil && *now == m.Raw
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Size returns the width and height of the terminal f in characters, 0 if they
// are not known.
func Size(f *os.File) (columns, rows uint16) {
	w, h, err := term.GetSize(int(f.Fd()))
	if err != nil || w < 0 || h < 0 || w > 0xffff || h > 0xffff {
		return 0, 0
	}
	return uint16(w), uint16(h)
}

// errBackground is why a terminal is not made raw that its user types to
// another program on.
var errBackground = errors.New("terminal: this is a background process, which the keyboard does not belong to; " +
	"run it in the foreground, or give it other input, such as </dev/null")

// background reports whether the terminal fd belongs to another process group
// than ours. One that is not our session's has no job control, and says so by
// an error.
func background(fd int) bool {
	foreground, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && foreground != unix.Getpgrp()
}

// MakeRaw puts the terminal f in raw mode, unless this process is in its
// background. guardCommand is a command that calls [Guard]: it restores the
// terminal if this process dies without doing so. Without it the terminal is
// not guarded.
//
// From then on this process ignores SIGTTOU, with which a terminal stops a
// background process that sets its modes: who is stopped cannot act on a
// signal to end.
func MakeRaw(f *os.File, guardCommand []string) (*Raw, error) {
	r := &Raw{fd: int(f.Fd())}
	if background(r.fd) {
		return nil, errBackground
	}
	signal.Ignore(unix.SIGTTOU)
	saved, err := unix.IoctlGetTermios(r.fd, unix.TCGETS)
	if err != nil {
		return nil, fmt.Errorf("terminal: %w", err)
	}
	r.modes.Saved = *saved
	if _, err := term.MakeRaw(r.fd); err != nil {
		return nil, fmt.Errorf("terminal: raw mode: %w", err)
	}
	raw, err := unix.IoctlGetTermios(r.fd, unix.TCGETS)
	if err != nil {
		r.Restore()
		return nil, fmt.Errorf("terminal: %w", err)
	}
	r.modes.Raw = *raw
	if len(guardCommand) > 0 {
		// An unguarded terminal is better than none.
		r.guard, _ = startGuard(f, guardCommand, r.modes)
	}
	return r, nil
}

// Again makes the terminal raw once more, after a shell that stopped and
// continued this process has set its own mode. It does nothing after Restore, or
// in the background, where the terminal is another's.
func (r *Raw) Again() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.restored || background(r.fd) {
		return nil
	}
	return unix.IoctlSetTermios(r.fd, unix.TCSETS, &r.modes.Raw)
}

// Restore makes the terminal what it was, unless it is another process's by now.
// It may be called more than once and from any goroutine.
func (r *Raw) Restore() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.restored {
		return nil
	}
	r.restored = true
	var err error
	if !background(r.fd) || r.modes.stillRaw(r.fd) {
		err = unix.IoctlSetTermios(r.fd, unix.TCSETS, &r.modes.Saved)
	}
	if r.guard != nil {
		r.guard.dismiss()
	}
	if err != nil {
		return fmt.Errorf("terminal: restore: %w", err)
	}
	return nil
}
