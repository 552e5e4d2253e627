package arm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The test binary is also the guard, and a comparison that a test kills, which has
// in this variable the root directory that it starts from, or "guard".
const roleVariable = "ARM_TEST_ROLE"

const guardRole = "guard"

func TestMain(m *testing.M) {
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
	case guardRole:
		os.Exit(status(RunGuard(os.Stdin)))
	default:
		os.Exit(status(doomed(role)))
	}
}

func status(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// doomed starts an instance, which does not end by itself, in each arm that is usable
// here, and says so. Then it waits for its own end.
func doomed(root string) error {
	os.Setenv(roleVariable, guardRole)
	guard, err := StartGuard([]string{"/proc/self/exe"})
	if err != nil {
		return err
	}
	defer guard.Dismiss() // which never comes
	ctx := context.Background()
	for _, a := range All() {
		e := &Env{}
		if _, err := a.Probe(ctx, e); err != nil {
			continue
		}
		dir, err := os.MkdirTemp(filepath.Dir(root), Word()+"-")
		if err != nil {
			return err
		}
		p, err := a.Prepare(ctx, e, root, dir)
		if err != nil {
			return err
		}
		c, err := p.Command(Word()+"-"+a.Name(), []string{"/sleeper"})
		if err != nil {
			return err
		}
		i, err := Start(ctx, c)
		if err != nil {
			return err
		}
		for !slices.Contains(names(i.Processes()), "sleeper") && a.Name() != "runsc" { // whose is in its sandbox
			select {
			case <-i.ended:
				return i.err
			case <-time.After(time.Millisecond):
			}
		}
		fmt.Println(a.Name())
	}
	fmt.Println("ready")
	time.Sleep(armTime)
	return nil
}

// TestGuard: when a comparison is killed nothing of it is left on the host, but for
// the directories that the next one removes.
func TestGuard(t *testing.T) {
	root := filepath.Join(t.TempDir(), "root")
	makeRoot(t, root)
	buildGo(t, filepath.Join(root, "sleeper"), "./testdata/sleeper")
	before := traces(t)

	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleVariable+"="+root)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	text, buf := "", make([]byte, 100)
	for !strings.HasSuffix(text, "ready\n") {
		n, err := stdout.Read(buf)
		if err != nil {
			t.Fatalf("it said %q: %v", text, err)
		}
		text += string(buf[:n])
	}
	word := []string{fmt.Sprint(wordPrefix, cmd.Process.Pid)}
	t.Logf("%q, with processes %v", strings.Fields(text), names(processes(noSession, word)))
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed
	wantTraces(t, before, word...)
	if left := processes(noSession, word); len(left) > 0 {
		t.Errorf("left on the host: %v", names(left))
	}
}

// A guard that is dismissed does nothing.
func TestGuardDismissed(t *testing.T) {
	t.Setenv(roleVariable, guardRole)
	g, err := StartGuard([]string{"/proc/self/exe"})
	if err != nil {
		t.Fatal(err)
	}
	i := start(t, fake(t, ClockMarks, "read line"))
	g.Dismiss()
	if left := i.find(); len(left) == 0 {
		t.Error("it has ended an instance")
	}
	i.Stdin().Close()
	if r, _ := i.Wait(t.Context()); r.Status != 1 { // the end of its input
		t.Errorf("status %d", r.Status)
	}
}
