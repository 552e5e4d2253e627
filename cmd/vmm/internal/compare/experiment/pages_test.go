package experiment

import (
	"bytes"
	"errors"
	"hash/maphash"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestParseMapping(t *testing.T) {
	for _, tt := range []struct {
		line       string
		start, end uint64
	}{
		{"00400000-0048d000 r-xp 00000000 08:01 131 /usr/bin/x\n", 0x400000, 0x48d000},
		{"c000000000-c000400000 rw-p 00000000 00:00 0 \n", 0xc000000000, 0xc000400000},
		{"c000400000-c004000000 ---p 00000000 00:00 0 \n", 0, 0},
		{"7ffc1000-7ffc3000 r--p 00000000 00:00 0 [vvar]\n", 0, 0},
		{"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n", 0, 0},
		{"nonsense\n", 0, 0},
		{"5-4 r--p 0 0 0\n", 0, 0},
	} {
		start, end, ok := parseMapping(tt.line)
		if ok != (tt.end > 0) || ok && (start != tt.start || end != tt.end) {
			t.Errorf("%q is %#x-%#x, %t, want %#x-%#x", tt.line, start, end, ok, tt.start, tt.end)
		}
	}
}

func TestPageCounts(t *testing.T) {
	c := &pageCensus{mapped: 9, frames: map[uint64]frame{
		1: {shared, 10, false},
		2: {0, 20, false},
		3: {1, 20, false},
		4: {0, 30, false}, // twice in the same instance
		5: {0, 30, false},
		6: {0, 10, false}, // a copy of what all share
		7: {0, 40, true},
		8: {1, 40, true},
		9: {1, 50, false},
	}}
	known := map[uint64]bool{10: true, 30: true, 60: true}
	want := pageCounts{mapped: 9, frames: 9, shared: 1, zero: 2, equal: 3, known: 4, knownOnce: 2}
	for range 20 { // in any order of the map
		if got := c.count(known); got != want {
			t.Fatalf("counts %+v, want %+v", got, want)
		}
	}
}

// The known contents of a file are its pages, the last one filled up, without zeros.
func TestHashFiles(t *testing.T) {
	dir := t.TempDir()
	data := bytes.Repeat([]byte{1}, pageSize+1)
	data = append(data, make([]byte, 3*pageSize-1)...)
	for _, name := range []string{"a", "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	c := newPageCensus()
	got := make(map[uint64]bool)
	if err := c.hashFiles(dir, got); err != nil {
		t.Fatal(err)
	}
	last := make([]byte, pageSize)
	last[0] = 1
	want := map[uint64]bool{maphash.Bytes(c.seed, data[:pageSize]): true, maphash.Bytes(c.seed, last): true}
	if !maps.Equal(got, want) {
		t.Errorf("%d pages are known, want %d", len(got), len(want))
	}
}

// Two processes of the same program share its text, and have stacks and heaps of
// their own, which have equal pages.
func TestPageCensusOfProcesses(t *testing.T) {
	cat, err := exec.LookPath("cat")
	if err != nil {
		t.Fatal(err)
	}
	c := newPageCensus()
	for owner := range 2 {
		cmd := exec.Command(cat)
		stdin, stdinErr := cmd.StdinPipe()
		stdout, stdoutErr := cmd.StdoutPipe()
		if err := errors.Join(stdinErr, stdoutErr, cmd.Start()); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer stdin.Close()
		// When it has answered, it has been linked.
		if _, err := stdin.Write([]byte{1}); err != nil {
			t.Fatal(err)
		}
		if _, err := stdout.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		err := c.addInstance(owner, []int{cmd.Process.Pid})
		if errors.Is(err, errNoFrames) && os.Geteuid() != 0 {
			t.Skip(err)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	text := make(map[uint64]bool)
	if err := c.hashFiles(cat, text); err != nil {
		t.Fatal(err)
	}
	n := c.count(text)
	t.Logf("%+v", n)
	if n.shared < 20 || n.frames <= n.shared || n.mapped < n.frames+n.shared {
		t.Errorf("two instances of cat: %+v, want them to share text and to have pages of their own", n)
	}
	if n.known == 0 || n.known != n.knownOnce {
		t.Errorf("%d pages have text of cat, %d of them are different, want each once", n.known, n.knownOnce)
	}
	if n.equal == 0 {
		t.Error("two instances of cat have no equal pages of their own")
	}
}
