package arm

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Word is in the name of all that this process has on the host: instances, images,
// cgroups, directories. IDs begin with it and a character that is no letter or
// digit.
func Word() string { return wordPrefix + strconv.Itoa(os.Getpid()) }

const wordPrefix = "vmmcompare"

// A Guard is a process that outlives this one by a moment, if this one dies in a
// way that leaves no time to end its instances: by SIGKILL, or for want of
// memory. The kernel tells the arms' processes of such a death, but neither what
// these have started in their turn nor a daemon.
//
// It waits at a pipe. What it reads first is this process's word; then the end of a
// line if it is not needed any more, or the end of the pipe if it is.
type Guard struct {
	pipe *os.File
	cmd  *exec.Cmd
}

// StartGuard runs command, which must call [RunGuard].
func StartGuard(command []string) (*Guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stderr = r, os.Stderr
	cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true} // signals of the terminal are not for it
	if err := cmd.Start(); err != nil {
		w.Close()
		return nil, err
	}
	g := &Guard{w, cmd}
	if _, err := io.WriteString(w, Word()); err != nil {
		g.Dismiss()
		return nil, err
	}
	return g, nil
}

// Dismiss ends the guard and waits for it.
func (g *Guard) Dismiss() {
	// Errors mean that the guard is gone, which is what is wanted.
	_, _ = io.WriteString(g.pipe, dismissed)
	g.pipe.Close()
	_ = g.cmd.Wait()
}

// dismissed is what a guard reads last that is not needed.
const dismissed = "\n"

// guardTime is how long a guard may take to clear up.
const guardTime = time.Minute

// RunGuard is the guard's own main function: pipe is its standard input. It returns
// when there is nothing left to guard.
func RunGuard(pipe io.Reader) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	cache := missing(podmanCache()) // which does not bear the word
	word, err := io.ReadAll(pipe)
	if err != nil || len(word) == 0 || strings.HasSuffix(string(word), dismissed) {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	defer cancel()
	return errors.Join(sweep(ctx, string(word)), removeMade(cache))
}

// sweep removes from the host what bears the word.
func sweep(ctx context.Context, word string) error {
	err := errors.Join(
		sweepDocker(ctx, word), // whose daemon puts away what it finds dead
		kill(func() []int { return processes(noSession, []string{word}) }),
		removeCgroups(word),
		Unmount(word),
	)
	dirs, _ := filepath.Glob(filepath.Join("/tmp", word+"-*")) // the pattern is a good one
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}

// Unmount unmounts what has word in the path of its mount point, the last first.
func Unmount(word string) error {
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	for _, line := range slices.Backward(strings.Split(string(table), "\n")) {
		fields := strings.Fields(line) // proc_pid_mountinfo(5): the fifth is the mount point
		if len(fields) < 5 || !hasWord([]byte(fields[4]), word) {
			continue
		}
		if e := unix.Unmount(fields[4], unix.MNT_DETACH); e != nil {
			err = errors.Join(err, &fs.PathError{Op: "unmount", Path: fields[4], Err: e})
		}
	}
	return err
}
