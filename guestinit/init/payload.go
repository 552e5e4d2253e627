package main

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit statuses as shells have them (POSIX.1-2017 §2.8.2).
const (
	statusFailure       = 1
	statusUsage         = 2
	statusNotExecutable = 126
	statusNotFound      = 127
	statusSignal        = 128 // plus the signal's number
)

// run runs the payload to its end and returns its exit status.
func (s session) run(argv []string) uint8 {
	path, err := find(argv[0])
	if err != nil {
		say("cannot run ", argv[0], ": ", err.Error())
		return statusOf(err)
	}
	pid, err := s.start(path, argv)
	if err != nil {
		say("cannot run ", path, ": ", err.Error())
		return statusOf(err)
	}
	return wait(pid)
}

func statusOf(err error) uint8 {
	if err == syscall.ENOENT {
		return statusNotFound
	}
	return statusNotExecutable
}

// start starts the payload, in a process group of its own in the foreground of
// the console.
func (s session) start(path string, argv []string) (pid int, err error) {
	attr := syscall.ProcAttr{
		Dir:   home(),
		Env:   os.Environ(),
		Files: []uintptr{0, 1, 2},
		Sys:   &syscall.SysProcAttr{Setpgid: true, Foreground: s.control, Ctty: console},
	}
	if s.terminal {
		return syscall.ForkExec(path, argv, &attr)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	attr.Files[0] = r.Fd()
	pid, err = syscall.ForkExec(path, argv, &attr)
	r.Close()
	go feed(w, s.early) // ends with the input, or with the guest
	return pid, err
}

// home returns the directory that the payload starts in.
func home() string {
	if dir := os.Getenv("HOME"); exists(dir) {
		return dir
	}
	return "/"
}

// find returns the file of the program called name: itself if it has a slash,
// else from the directories in PATH.
func find(name string) (path string, err error) {
	if strings.IndexByte(name, '/') >= 0 {
		return name, nil
	}
	err = syscall.ENOENT
	for dir := range strings.SplitSeq(os.Getenv("PATH"), ":") {
		path := dir + "/" + name
		switch found := unix.Access(path, unix.X_OK); found {
		case nil:
			return path, nil
		case unix.EACCES:
			err = found
		}
	}
	return "", err
}

// wait returns the exit status of the process pid. It reaps all others that end
// before: process 1 is the parent of every orphan.
func wait(pid int) uint8 {
	for {
		var status unix.WaitStatus
		ended, err := unix.Wait4(-1, &status, 0, nil)
		switch {
		case err == unix.EINTR:
		case err != nil: // cannot be: pid is our child, and only we wait
			return statusNotFound
		case ended != pid:
		case status.Signaled():
			return statusSignal + uint8(status.Signal())
		case status.Exited():
			return uint8(status.ExitStatus())
		}
	}
}
