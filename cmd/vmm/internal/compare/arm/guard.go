package arm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Word is in the name of all that this process has on the host: instances, images,
// cgroups, directories. IDs begin with it and a character that is no letter or
// digit.
func Word() string { return wordOf(os.Getpid()) }

func wordOf(pid int) string { return fmt.Sprintf("vmmcompare%d", pid) }

// A Guard is a process that outlives this one by a moment, if this one dies in a
// way that leaves no time to end its instances: by SIGKILL, or for want of
// memory. The kernel tells the arms' processes of such a death, but neither what
// these have started in their turn nor a daemon.
//
// It waits at a pipe, from which it reads a byte if it is not needed any more, or
// the end if it is.
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
	return &Guard{w, cmd}, nil
}

// Dismiss ends the guard and waits for it.
func (g *Guard) Dismiss() {
	// Errors mean that the guard is gone, which is what is wanted.
	_, _ = g.pipe.Write([]byte{0})
	g.pipe.Close()
	_ = g.cmd.Wait()
}

// guardTime is how long a guard may take to clear up.
const guardTime = time.Minute

// RunGuard is the guard's own main function: pipe is its standard input. It returns
// when there is nothing left to guard.
func RunGuard(pipe io.Reader) error {
	signal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	word := wordOf(os.Getppid())
	if _, err := pipe.Read(make([]byte, 1)); err != io.EOF {
		return nil // dismissed
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardTime)
	defer cancel()
	return sweep(ctx, word)
}

// sweep removes from the host what bears the word.
func sweep(ctx context.Context, word string) error {
	err := errors.Join(
		sweepDocker(ctx, word), // whose daemon puts away what it finds dead
		kill(func() []int { return processes(noSession, []string{word}) }),
		removeCgroups(word),
	)
	dirs, _ := filepath.Glob(filepath.Join("/tmp", word+"-*")) // the pattern is a good one
	for _, dir := range dirs {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
