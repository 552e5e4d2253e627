package main

import (
	"bufio"
	"os/exec"
	"strings"
	"testing"

	"microvm/guestinit/payload/protocol"
)

// TestWork: the payload works once for each line, and not before, and ends with its
// input. The bounds hold on any host from an emulated one to the fastest.
func TestWork(t *testing.T) {
	cmd := exec.Command(program, protocol.ModeWork)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer stdin.Close()
	said := bufio.NewScanner(stdout)
	next := func(prefix string) string {
		t.Helper()
		if !said.Scan() || !strings.HasPrefix(said.Text(), prefix) {
			t.Fatalf("the payload says %q, want %q", said.Text(), prefix)
		}
		return said.Text()
	}
	next(protocol.MarkPrefix + protocol.Payload)
	next(protocol.TextPrefix + protocol.Waits)
	for range 2 {
		if _, err := stdin.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		for _, want := range []struct {
			metric, unit string
			least, most  float64
		}{
			{protocol.CPU, protocol.PerSecond, 1e6, 1e10},
			{protocol.MemoryAccess, protocol.PerSecond, 1e5, 1e9},
			{protocol.MemoryCopy, protocol.BytesPerSecond, 1e7, 1e12},
		} {
			line, err := protocol.Parse(next(protocol.ResultPrefix))
			r, _ := line.(*protocol.Result)
			if err != nil || r == nil || r.Metric != want.metric || r.Unit != want.unit || r.Value < want.least || r.Value > want.most {
				t.Errorf("%+v, %v, want %+v", r, err, want)
			}
		}
	}
	stdin.Close()
	next(protocol.MarkPrefix + protocol.PayloadEnd)
}
