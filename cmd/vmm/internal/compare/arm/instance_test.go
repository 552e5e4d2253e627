package arm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
)

// Fake arms are shell scripts. Each test's instances are over in a moment, or
// are ended by what it tests.
const fakeTime = 10 * time.Second

// clock is a shell function that waits and prints the CLOCK_MONOTONIC of a moment
// in between, in nanoseconds. /proc/uptime has hundredths of a second, on a host
// that has never slept; they are rounded up, for a mark must not be before its
// instance's spawn.
const clock = `clock() { at=$(sed 's/[.]\(..\).*/\1/' /proc/uptime); sleep 0.03; echo $((($at + 1) * 10000000)); }; `

// fake returns the command of an instance that runs a script.
func fake(t *testing.T, marks Marks, script string) *Command {
	return &Command{
		ID:    Word() + "-" + strings.ReplaceAll(t.Name(), "/", "-"),
		Argv:  []string{"/bin/sh", "-c", script},
		Marks: marks,
	}
}

// start starts an instance, of which nothing may be left at the test's end.
func start(t *testing.T, c *Command) *Instance {
	t.Helper()
	i, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		<-i.ended
		if left := i.find(); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
	})
	return i
}

// run runs an instance to its end.
func run(t *testing.T, c *Command) (Result, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), fakeTime)
	defer cancel()
	return start(t, c).Wait(ctx)
}

// wantError fails the test unless err says each of words.
func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	for _, w := range words {
		if err == nil || !strings.Contains(err.Error(), w) {
			t.Fatalf("error %q, want one that says %q", fmt.Sprint(err), w)
		}
	}
}

func TestMarks(t *testing.T) {
	for _, tt := range []struct {
		name   string
		marks  Marks
		script string
		want   []compare.Boundary
	}{
		{"clock", ClockMarks, clock + "echo hello; echo MARK payload $(clock); echo MARK payload-end $(clock); echo bye >&2",
			[]compare.Boundary{compare.Payload, compare.PayloadEnd}},
		{"bytes", ByteMarks, `echo hello; for b in 1 2 3 5 4 6; do printf "\\$b" >&3; done; echo bye >&2`,
			[]compare.Boundary{compare.Init, compare.Payload, compare.PayloadEnd}},
		{"events", EventMarks, `echo hello; while read -r line; do echo "   0.1 $line" >&3; done <<-END
			event VM created
			virtio block status DRIVER
			event kernel loaded
			event first KVM_RUN
			event guest mark 1
			event guest mark 3
			event guest mark 5
			event guest mark 6
			event guest ended
			END
			echo bye`,
			[]compare.Boundary{compare.Ready, compare.GuestStart, compare.KernelEntry, compare.Init, compare.Payload, compare.PayloadEnd}},
		{"none", ByteMarks, "echo hello; echo bye", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r, err := run(t, fake(t, tt.marks, tt.script))
			if err != nil {
				t.Fatal(err)
			}
			got := slices.SortedFunc(maps.Keys(r.Passed), func(a, b compare.Boundary) int {
				return slices.Index(compare.Boundaries, a) - slices.Index(compare.Boundaries, b)
			})
			want := append(append([]compare.Boundary{compare.Spawn}, tt.want...), compare.Exit)
			if !slices.Equal(got, want) {
				t.Errorf("passed %v, want %v", r.Passed, want)
			}
			before := time.Duration(0)
			for _, b := range got[:len(got)-1] {
				if r.Passed[b] < before || r.Passed[b] > fakeTime {
					t.Errorf("passed %q after %v, and the one before it after %v", b, r.Passed[b], before)
				}
				before = r.Passed[b]
			}
			if r.Status != 0 || !strings.Contains(r.Output, "hello\n") || !strings.Contains(r.Output, "bye\n") {
				t.Errorf("status %d and output %q", r.Status, r.Output)
			}
		})
	}
}

// What goes wrong inside an instance is told in words, and ends it.
func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		name   string
		marks  Marks
		script string
		want   []string
	}{
		{"status", ClockMarks, "echo no such image; exit 3", []string{"sh: ", "exit status 3", "no such image"}},
		{"signal", ClockMarks, "kill -SEGV $$", []string{"segmentation fault"}},
		{"endless output", ClockMarks, "yes", []string{"prints more than"}},
		{"endless line", ByteMarks, "tr '\\0' x < /dev/zero", []string{"prints more than"}},
		{"endless errors", ClockMarks, "yes >&2", []string{"prints more than"}},
		{"garbage", ClockMarks, "head -c 100000 /dev/urandom; echo; echo MARK of Zorro; sleep 1000", []string{"MARK of Zorro", "want MARK BOUNDARY NANOSECONDS"}},
		{"unknown", ClockMarks, clock + "echo MARK exit $(clock); sleep 1000", []string{`"exit"`, "a payload does not pass"}},
		{"future", ClockMarks, "echo MARK payload 9000000000000000000; sleep 1000", []string{"not between its spawn and now"}},
		{"past", ClockMarks, "echo MARK payload 1; sleep 1000", []string{"not between its spawn and now"}},
		{"twice", ByteMarks, `printf '\5\5' >&3; sleep 1000`, []string{`passed "payload" a second time`}},
		{"twice by events", EventMarks, `for i in 1 2; do echo "1 event guest mark 5" >&3; done; sleep 1000`, []string{`passed "payload" a second time`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			started := time.Now()
			_, err := run(t, fake(t, tt.marks, tt.script))
			wantError(t, err, tt.want...)
			if took := time.Since(started); took > fakeTime/2 {
				t.Errorf("that took %v", took)
			}
		})
	}
}

// Garbage that is no mark is output.
func TestGarbageAside(t *testing.T) {
	r, err := run(t, fake(t, ClockMarks, clock+"head -c 100000 /dev/zero; echo; echo MARK payload $(clock)"))
	if err != nil {
		t.Fatal(err)
	}
	if r.Passed[compare.Payload] == 0 || len(r.Output) < 100000 {
		t.Errorf("passed %v, with %d bytes of output", r.Passed, len(r.Output))
	}
}

func TestAwait(t *testing.T) {
	i := start(t, fake(t, ByteMarks, `read line; printf '\5' >&3; read line; echo "$line"`))
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := i.Await(short, compare.Payload)
	wantError(t, err, `has not passed "payload"`, "deadline")
	if _, err := io.WriteString(i.Stdin(), "go\n"); err != nil {
		t.Fatal(err)
	}
	at, err := i.Await(t.Context(), compare.Payload)
	if err != nil || at < 20*time.Millisecond || at != i.Passed()[compare.Payload] {
		t.Fatalf("passed after %v, %v; %v", at, err, i.Passed())
	}
	if !slices.Contains(i.Processes(), i.PID()) {
		t.Errorf("processes %v without %d", i.Processes(), i.PID())
	}
	if _, err := io.WriteString(i.Stdin(), "good bye\n"); err != nil {
		t.Fatal(err)
	}
	_, err = i.Await(t.Context(), compare.PayloadEnd)
	wantError(t, err, `ended without passing "payload-end"`)
	if r, err := i.Wait(t.Context()); err != nil || r.Output != "good bye\n" {
		t.Errorf("output %q, %v", r.Output, err)
	}
	if left := i.Processes(); left != nil {
		t.Errorf("it has processes %v", left)
	}
}

// An end of standard input is one that the instance sees.
func TestStdin(t *testing.T) {
	i := start(t, fake(t, ClockMarks, "cat"))
	i.Stdin().Close()
	if _, err := i.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

// A hang, whatever signals it ignores and whichever children it has hidden, ends
// with its time, with the comparison, or when it is killed.
// TestTerminal: standard input and output are one terminal, which changes no byte, says
// nothing that it hears, and stays when the input is closed.
func TestTerminal(t *testing.T) {
	c := fake(t, NoMarks, `test -t 0 && test -t 1 && ! test -t 2 && echo terminal; head -c 6 | od -An -c; sleep 0.1; echo more`)
	c.Terminal = true
	i := start(t, c)
	if _, err := io.WriteString(i.Stdin(), "a\r\n\x04\x03\n"); err != nil {
		t.Fatal(err)
	}
	if err := i.Stdin().Close(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), fakeTime)
	defer cancel()
	const want = "terminal\n   a  \\r  \\n 004 003  \\n\nmore\n"
	if got, err := i.Wait(ctx); got.Output != want || err != nil {
		t.Errorf("it says %q, %v, want %q", got.Output, err, want)
	}
}

// TestTerminalHeld: one that a stranger holds open is left.
func TestTerminalHeld(t *testing.T) {
	c := fake(t, NoMarks, `env -i setsid sleep 3 & sleep 0.3`)
	c.Terminal = true
	begun := time.Now()
	_, err := run(t, c)
	if err == nil || !strings.Contains(err.Error(), "holds its output") || time.Since(begun) > fakeTime {
		t.Errorf("it ends with %v after %v", err, time.Since(begun))
	}
}

func TestHang(t *testing.T) {
	const hang = `trap '' TERM INT HUP; (setsid sleep 1000 &); (env -i sleep 1000 &); sleep 1000 & echo ready; while :; do sleep 1000; done`
	ready := func(t *testing.T, i *Instance) {
		for len(i.Processes()) < 5 || i.Output() == "" {
			time.Sleep(time.Millisecond)
		}
	}
	t.Run("time", func(t *testing.T) {
		i := start(t, fake(t, ClockMarks, hang))
		ready(t, i)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := i.Wait(ctx)
		wantError(t, err, "has not ended", "deadline", "ready")
	})
	t.Run("comparison", func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		i, err := Start(ctx, fake(t, ClockMarks, hang))
		if err != nil {
			t.Fatal(err)
		}
		ready(t, i)
		cancel(errors.New("Ctrl-C"))
		_, err = i.Wait(t.Context())
		wantError(t, err, "stopped", "Ctrl-C")
		if left := i.find(); len(left) > 0 {
			t.Errorf("processes %v are left", left)
		}
	})
	t.Run("kill", func(t *testing.T) {
		i := start(t, fake(t, ClockMarks, hang))
		ready(t, i)
		if err := i.Kill(); err != nil {
			t.Fatal(err)
		}
		_, err := i.Await(t.Context(), compare.Payload)
		wantError(t, err, "ended without passing", "killed")
		if r, err := i.Wait(t.Context()); err == nil || r.Status != -1 {
			t.Errorf("status %d, %v", r.Status, err)
		}
		if err := i.Kill(); err != nil {
			t.Errorf("a second time: %v", err)
		}
	})
}

// A child that outlives the arm's process is given its time, and no more.
func TestOrphan(t *testing.T) {
	c := fake(t, ClockMarks, "(setsid sleep 0.2; echo put away) &")
	c.Linger = fakeTime
	if r, err := run(t, c); err != nil || r.Output != "put away\n" {
		t.Errorf("output %q, %v", r.Output, err)
	}
	if r, err := run(t, fake(t, ClockMarks, "setsid sleep 1000 & echo begun")); err != nil || r.Output != "begun\n" {
		t.Errorf("output %q, %v", r.Output, err)
	}
}

// A process of which nothing tells that it belongs to the instance cannot keep it
// from its end, but is told of.
func TestStranger(t *testing.T) {
	c := fake(t, ClockMarks, "env -i setsid sh -c 'echo $$; exec sleep 3' & sleep 0.1")
	_, err := run(t, c)
	wantError(t, err, "holds its output")
}

// Remove is called for what is left only.
func TestRemove(t *testing.T) {
	for _, tt := range []struct {
		script string
		want   bool
	}{{"true", false}, {"false", true}, {"sleep 1000 &", true}} {
		called := false
		c := fake(t, ClockMarks, tt.script)
		c.Remove = func(context.Context) error { called = true; return errors.New("cannot remove") }
		_, err := run(t, c)
		if called != tt.want {
			t.Errorf("%q: Remove was called: %t", tt.script, called)
		}
		if tt.want {
			wantError(t, err, "cannot remove")
		}
	}
}

func TestNoProgram(t *testing.T) {
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := descriptors()
	_, err := Start(t.Context(), &Command{ID: "fake-without-program", Argv: []string{"/no/such/program"}})
	wantError(t, err, "/no/such/program", "no such file")
	if after := descriptors(); after != before {
		t.Errorf("%d descriptors are open, before %d", after, before)
	}
}
