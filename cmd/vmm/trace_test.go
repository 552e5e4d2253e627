package main

import (
	"bufio"
	"errors"
	"io"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"microvm/kvm"
	"microvm/vmm"
)

func TestTrace(t *testing.T) {
	var out strings.Builder
	tr := newTracer(&out, time.Now())
	h := tr.hooks(traceKinds)
	h.Exit(1, &kvm.HLTExit{})
	h.Access(0, vmm.Access{Device: "com1", Space: vmm.SpacePort, Addr: 0x3f9, Offset: 1, Write: true}, []byte{0x41, 0x42})
	h.Access(0, vmm.Access{Device: "none", Space: vmm.SpaceMMIO, Addr: 0xd0000000}, []byte{0xff})
	h.Interrupt(4, true)
	h.Interrupt(4, false)
	h.Event(vmm.Event{Name: vmm.EventMark, Stage: 3})
	if err := tr.flush(); err != nil {
		t.Fatal(err)
	}
	want := []string{
		`cpu1 exit KVM_EXIT_HLT`,
		`cpu0 write port 0x3f9 com1\+0x1: 41 42`,
		`cpu0 read  mmio 0xd0000000 none\+0x0: ff`,
		`irq 4 high`,
		`irq 4 low`,
		`event guest mark 3`,
	}
	lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(lines) != len(want) {
		t.Fatalf("%d lines, want %d:\n%s", len(lines), len(want), out.String())
	}
	for i, w := range want {
		if !regexp.MustCompile(`^ +\d+\.\d{6} ` + w + `$`).MatchString(lines[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], w)
		}
	}
}

func TestTraceOnlyWhatIsWanted(t *testing.T) {
	tr := newTracer(&strings.Builder{}, time.Now())
	if tr.hooks(nil) != nil {
		t.Error("hooks without a kind")
	}
	h := tr.hooks([]string{traceIRQ})
	if h.Interrupt == nil || h.Exit != nil || h.Access != nil || h.Event != nil {
		t.Errorf("hooks for irq: %+v", h)
	}
}

func TestTraceOfAGuestThatHangs(t *testing.T) {
	r, w := io.Pipe()
	h := newTracer(w, time.Now()).hooks([]string{traceIRQ})
	lines := bufio.NewReader(r)
	for _, level := range []string{"high", "low"} { // the second after a flush
		h.Interrupt(4, level == "high")
		if line, err := lines.ReadString('\n'); err != nil || !strings.HasSuffix(line, "irq 4 "+level+"\n") {
			t.Errorf("read %q, %v; want irq 4 %s", line, err, level)
		}
	}
}

type brokenWriter struct{}

var errBroken = errors.New("broken")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func TestTraceOfManyProcessorsAndBrokenFile(t *testing.T) {
	tr := newTracer(brokenWriter{}, time.Now())
	h := tr.hooks([]string{traceIRQ})
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 2000 { // more than the buffer
				h.Interrupt(4, true)
			}
		})
	}
	all.Wait()
	if err := tr.flush(); !errors.Is(err, errBroken) {
		t.Errorf("flush = %v, want %v", err, errBroken)
	}
}
