package experiment

import (
	"os/exec"
	"testing"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// Of a process and its children each call is counted from the first execve on, and of
// others none.
func TestCallCounter(t *testing.T) {
	c, err := newCallCounter()
	if err != nil {
		t.Skip("SKIPPED, not permitted on this host: ", err)
	}
	defer c.Close()
	other := exec.Command("/bin/sh", "-c", "read wait; umask")
	input, err := other.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	const script = "umask; for i in 1 2 3; do (umask; umask); done"
	if err := exec.Command("/bin/sh", "-c", script).Run(); err != nil {
		t.Fatal(err)
	}
	got, err := c.calls()
	if err != nil {
		t.Fatal(err)
	}
	// A shell calls umask(2) twice to show the mask.
	if got.arm["umask"] != 14 || got.arm["execve"] != 2 || got.arm["exit_group"] != 4 {
		t.Errorf("%d calls of umask, %d of execve and %d of exit_group", got.arm["umask"], got.arm["execve"], got.arm["exit_group"])
	}
	if len(got.payload) != 0 || len(got.guest) != 0 {
		t.Errorf("calls of a payload %v, and for a guest %v", got.payload, got.guest)
	}
	input.Close()
	if err := other.Wait(); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// eBPF and strace(1) count the same.
func TestCountersAgree(t *testing.T) {
	needStrace(t)
	if c, err := newCallCounter(); err != nil {
		t.Skip("SKIPPED, not permitted on this host: ", err)
	} else if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "shell", Is: arm.Process, Script: armtest.Begin + armtest.End})
	s.Effort.Patience = patience
	addNative(t, s)
	for _, a := range s.Arms {
		traced, err := s.trace(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		counted, err := s.count(t.Context(), a)
		if err != nil {
			t.Fatal(err)
		}
		for _, side := range []struct{ name, traced, counted string }{
			{"the payload", steady(traced.payload), steady(counted.payload)},
			{"the arm", steady(traced.arm), steady(counted.arm)},
		} {
			if side.traced != side.counted {
				t.Errorf("%s, %s: strace has %s\nand eBPF %s", a.Name(), side.name, side.traced, side.counted)
			}
		}
	}
}

// steady are the counts of calls that do not depend on how threads are scheduled.
func steady(c callCounts) string {
	kept := make(callCounts)
	for _, name := range []string{"execve", "openat", "close", "write", "exit_group", "rt_sigaction", "pipe2", "fork", "wait4"} {
		if c[name] > 0 {
			kept[name] = c[name]
		}
	}
	return kept.String()
}
