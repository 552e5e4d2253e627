package experiment

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// needStrace skips the test where there is none.
func needStrace(t *testing.T) {
	t.Helper()
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("needs strace: ", err)
	}
}

// TestIsolation: of the real payload, as a process.
func TestIsolation(t *testing.T) {
	needStrace(t)
	var n notebook
	s := n.session(t, brief(1, 1))
	s.Effort.Patience = patience
	addNative(t, s)
	if err := Isolation.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := n.only(t, "native", UsedByPayload, 0); got.Value < 10 || got.Value > 100 {
		t.Errorf("the payload makes %g different system calls", got.Value)
	}
	if got := n.only(t, "native", UsedByPayload+usedNames, 0); !strings.Contains(got.Text, "exit_group 1") {
		t.Errorf("the payload makes calls %q", got.Text)
	}
	if got := n.only(t, "native", UsedByArm, 0); got.Value != 1 {
		t.Errorf("beside the payload a process makes %g different calls, want execve alone", got.Value)
	}
	if got := n.only(t, "native", SeenFiles, 0); got.Value < 100 {
		t.Errorf("a process sees %g files", got.Value)
	}
	if os.Geteuid() != 0 {
		t.Skip("the rest needs root")
	}
	entries, err := filepath.Glob("/proc/self/ns/*")
	if err != nil {
		t.Fatal(err)
	}
	if got := n.only(t, "native", HostNamespaces, 0); got.Value != float64(len(entries)) {
		t.Errorf("a process shares %g namespaces, want all %d", got.Value, len(entries))
	}
	if got := n.only(t, "native", HostCalls, 0); got.Value < 300 {
		t.Errorf("a process may make %g system calls", got.Value)
	}
	n.only(t, "native", HostCapabilities, 0)
	noneLeft(t)

	recorded := len(n.samples)
	if err := Isolation.Run(t.Context(), s); err != nil || len(n.samples) != recorded {
		t.Errorf("a run that goes on after its end records %d samples, %v", len(n.samples)-recorded, err)
	}
}
