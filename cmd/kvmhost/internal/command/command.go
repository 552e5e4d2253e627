// Package command finds the program that a command line names, with the exit
// statuses of env(1) and the shells for one that cannot be run.
package command

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strings"
)

// Exit statuses for what is not the command's own end.
const (
	StatusUsage       = 2   // kvmhost's own command line is wrong
	StatusFailure     = 125 // kvmhost failed
	StatusNotRunnable = 126 // the command was found but cannot be run
	StatusNotFound    = 127 // there is no such command
	StatusSignal      = 128 // plus the number of the signal that ended it
)

// An Error says why a command cannot be run.
type Error struct {
	Status int // StatusNotRunnable or StatusNotFound
	Err    error
}

func (e *Error) Error() string { return e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// NewError returns the error for a command name that could not be run because
// of err.
func NewError(name string, err error) *Error {
	status := StatusNotRunnable
	if errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		status = StatusNotFound
	}
	return &Error{status, fmt.Errorf("%s: %w", name, cause(err))}
}

// cause strips what os and exec put around an error, who name the program and
// their own operation.
func cause(err error) error {
	var execErr *exec.Error
	if errors.As(err, &execErr) {
		return cause(execErr.Err)
	}
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// defaultPath is where execvp(3) looks without a PATH.
const defaultPath = "/bin:/usr/bin"

// Find returns the file of the program called name, from the current
// directory and with the PATH in env, which becomes this process's PATH. Its
// error is an *Error.
func Find(name string, env []string) (string, error) {
	path := defaultPath
	for _, entry := range env {
		if value, found := strings.CutPrefix(entry, "PATH="); found {
			path = value
		}
	}
	if err := os.Setenv("PATH", path); err != nil {
		return "", NewError(name, err)
	}
	file, err := exec.LookPath(name)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		return "", NewError(name, err)
	}
	return file, nil
}
