package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"

	"microvm/cmd/kvmhost/internal/wire"
)

// passedLimits are the resource limits that a command feels and that mean the
// same on another host. Of open files the command may have as many as the hard
// limit says: Go raised the soft one before anybody could ask.
var passedLimits = []int{unix.RLIMIT_NOFILE, unix.RLIMIT_MEMLOCK, unix.RLIMIT_CORE, unix.RLIMIT_STACK}

// newJob describes the command as this process would run it.
func newJob(args, shares []string) (*wire.Job, error) {
	dir, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	realDir, err := filepath.EvalSymlinks(dir) // what a share is mounted on
	if err != nil {
		return nil, err
	}
	hostname, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	groups, err := unix.Getgroups()
	if err != nil {
		return nil, fmt.Errorf("getgroups: %w", err)
	}
	job := &wire.Job{
		Args: args, Env: os.Environ(), Dir: dir,
		UID: uint32(os.Geteuid()), GID: uint32(os.Getegid()),
		Shares:   sharesFor(realDir, shares),
		Hostname: hostname,
		Time:     time.Now(),
	}
	for _, g := range groups {
		job.Groups = append(job.Groups, uint32(g))
	}
	for _, resource := range passedLimits {
		var l unix.Rlimit
		if err := unix.Getrlimit(resource, &l); err != nil {
			return nil, fmt.Errorf("getrlimit: %w", err)
		}
		job.Limits = append(job.Limits, wire.Limit{Resource: resource, Cur: l.Cur, Max: l.Max})
	}
	job.Umask = unix.Umask(0)
	unix.Umask(job.Umask)
	job.Terminal = term.IsTerminal(unix.Stdin) && term.IsTerminal(unix.Stdout)
	job.ErrTerminal = job.Terminal && term.IsTerminal(unix.Stderr)
	if job.Terminal {
		job.Size = terminalSize()
	}
	return job, nil
}

// terminalSize returns the size of the terminal on standard output.
func terminalSize() wire.Size {
	columns, rows, err := term.GetSize(unix.Stdout)
	if err != nil { // a terminal that does not know
		return wire.Size{}
	}
	return wire.Size{Rows: uint16(rows), Columns: uint16(columns)}
}
