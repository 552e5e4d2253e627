package main

import (
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/guestinit/payload/protocol"
)

// program is the payload, built as it runs everywhere.
var program string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "payload-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	program = filepath.Join(dir, "payload")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		panic(string(out))
	}
	return m.Run()
}

// lines reads all lines that the payload wrote; each must be one of protocol's.
func lines(t *testing.T, output string) (all []protocol.Line) {
	t.Helper()
	for text := range strings.Lines(output) {
		line, err := protocol.Parse(text)
		if err != nil || line == nil {
			t.Fatalf("the payload wrote %q: %v", text, err)
		}
		all = append(all, line)
	}
	return all
}

// marked cuts the marks off the lines of a run of the payload, which must be
// the first and the last, with the clock's time between before and after.
func marked(t *testing.T, output string, before, after int64) []protocol.Line {
	t.Helper()
	all := lines(t, output)
	if len(all) < 2 {
		t.Fatalf("the payload wrote %q, want two marks", output)
	}
	first, ok1 := all[0].(*protocol.Mark)
	last, ok2 := all[len(all)-1].(*protocol.Mark)
	if !ok1 || !ok2 || first.Boundary != protocol.Payload || last.Boundary != protocol.PayloadEnd {
		t.Fatalf("the payload wrote %q, want marks of its begin and end", output)
	}
	if !(before <= first.At && first.At <= last.At && last.At <= after) {
		t.Errorf("marks at %d and %d, want them in order between %d and %d", first.At, last.At, before, after)
	}
	return all[1 : len(all)-1]
}

// runPayload runs it to its end and returns what it said between the marks.
func runPayload(t *testing.T, args ...string) []protocol.Line {
	t.Helper()
	before := now()
	var stderr strings.Builder
	cmd := exec.Command(program, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("payload %q: %v, %s", args, err, stderr.String())
	}
	return marked(t, string(out), before, now())
}

func TestStart(t *testing.T) {
	if said := runPayload(t, "start"); len(said) > 0 {
		t.Errorf("start says %v, want nothing but marks", said)
	}
}

func TestHoldEndsWithItsInput(t *testing.T) {
	before := now()
	cmd := exec.Command(program, "hold")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	r, w := io.Pipe()
	cmd.Stdout = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	begun := make([]byte, 256)
	n, err := r.Read(begun)
	if err != nil {
		t.Fatal(err)
	}
	out.Write(begun[:n])
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(&out, r)
		ended <- err
	}()
	if _, err := stdin.Write(make([]byte, 10_000)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
		t.Error("hold ended before its input")
	case <-time.After(50 * time.Millisecond):
	}
	stdin.Close()
	if err := errors.Join(cmd.Wait(), w.Close(), <-ended); err != nil {
		t.Fatal(err)
	}
	said := marked(t, out.String(), before, now())
	if len(said) != 1 {
		t.Fatalf("hold says %v, want that it waits, and marks", said)
	}
	if waits, ok := said[0].(*protocol.Text); !ok || waits.Metric != protocol.Waits {
		t.Errorf("hold says %v, want that it waits", said[0])
	}
}

// wantFailure runs the payload and wants it to fail with a status and an error
// that has these words, with its end unmarked.
func wantFailure(t *testing.T, status int, want string, args ...string) {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		t.Fatalf("payload %q: %v, want status %d", args, err, status)
	}
	if ended.ExitCode() != status || !strings.Contains(string(ended.Stderr), want) {
		t.Errorf("payload %q: %v, %s, want status %d and %q", args, err, ended.Stderr, status, want)
	}
	if strings.Contains(string(out), protocol.PayloadEnd) {
		t.Errorf("payload %q failed, and marks its end", args)
	}
}

func TestMistakes(t *testing.T) {
	for _, args := range [][]string{
		nil, {"none-such"}, {"none-such", "x"}, {"none-such", "x", "y"}, {"start", "now"}, {"hash"}, {"exec"},
		{"stream", "127.0.0.1:1", "sideways"}, {"stream", "127.0.0.1:1", "to", "from"},
	} {
		wantFailure(t, statusUsage, "usage: payload MODE", args...)
	}
	empty := tree(t, map[string]string{"empty": ""}) + "/empty"
	for _, tt := range []struct {
		want string
		args []string
	}{
		{"no such file", []string{protocol.ModeRead, "/no/such/file"}},
		{"want a block of 4096 at least", []string{protocol.ModeRead, empty}},
		{"no such file", []string{protocol.ModeHash, "/no/such/directory"}},
		{"no such file", []string{protocol.ModeExec, "/no/such/program"}},
		{"exit status 3", []string{protocol.ModeExec, "/bin/sh", "-c", "exit 3"}},
		{"connection refused", []string{protocol.ModeRoundTrip, "127.0.0.1:1"}},
		{"want an IPv4 address and a port", []string{protocol.ModeRoundTrip, "localhost"}},
		{"want an IPv4 address and a port", []string{protocol.ModeRoundTrip, "::1:80"}},
		{"want an IPv4 address and a port", []string{protocol.ModeRoundTrip, "127.0.0.256:80"}},
		{"want an IPv4 address and a port", []string{protocol.ModeStream, "127.0.0.1:65536", protocol.StreamTo}},
	} {
		wantFailure(t, statusFailure, tt.want, tt.args...)
	}
}

// Each mode says what it says alone, in the order asked for, and none after one that fails.
func TestOneModeAfterAnother(t *testing.T) {
	metrics := func(said []protocol.Line) (all []string) {
		for _, line := range said {
			all = append(all, line.(*protocol.Result).Metric)
		}
		return all
	}
	said := runPayload(t, protocol.ModeSyscalls, protocol.Then, protocol.ModeStart, protocol.Then, protocol.ModeSyscalls)
	if got, want := metrics(said), []string{protocol.SystemCall, protocol.SystemCall}; !slices.Equal(got, want) {
		t.Errorf("the payload said %q, want %q", got, want)
	}
	out, err := exec.Command(program, protocol.ModeSyscalls, protocol.Then, protocol.ModeRead, "/none", protocol.Then, protocol.ModeFaults).Output()
	if err == nil || !strings.Contains(string(out), protocol.SystemCall) || strings.Contains(string(out), protocol.PageFault) {
		t.Errorf("the payload said %q, %v, want it to end with the mode that fails", out, err)
	}
}

// A command of the user's has all arguments after its own, and what it prints is
// between the marks.
func TestExec(t *testing.T) {
	out, err := exec.Command(program, protocol.ModeExec, "/bin/echo", protocol.Then, "TEXT", protocol.ModeStart).Output()
	all := strings.Split(strings.TrimSpace(string(out)), "\n")
	if err != nil || len(all) != 3 || all[1] != ", TEXT start" || !strings.HasPrefix(all[0], "MARK payload ") || !strings.HasPrefix(all[2], "MARK payload-end ") {
		t.Errorf("the payload said %q, %v", out, err)
	}
}
