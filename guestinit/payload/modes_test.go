package main

import (
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/guestinit/payload/protocol"
)

// said is what a run of the payload says.
type said struct {
	values map[string]protocol.Result
	texts  map[string][]string
}

func runMode(t *testing.T, args ...string) said {
	t.Helper()
	s := said{map[string]protocol.Result{}, map[string][]string{}}
	for _, line := range runPayload(t, args...) {
		switch line := line.(type) {
		case *protocol.Result:
			if _, twice := s.values[line.Metric]; twice {
				t.Errorf("%s is said twice", line.Metric)
			}
			s.values[line.Metric] = *line
		case *protocol.Text:
			s.texts[line.Metric] = append(s.texts[line.Metric], line.Text)
		default:
			t.Errorf("%+v is said between the marks", line)
		}
	}
	return s
}

// has checks that a value is said, within bounds.
func (s said) has(t *testing.T, metric, unit string, least, most float64) {
	t.Helper()
	r, found := s.values[metric]
	if !found || r.Unit != unit || r.Value < least || r.Value > most {
		t.Errorf("%s = %+v, want %v to %v %s", metric, r, least, most, unit)
	}
}

// The bounds hold on any host from an emulated one to the fastest.
func TestRates(t *testing.T) {
	for _, tt := range []struct {
		mode, metric, unit string
		least, most        float64
	}{
		{protocol.ModeSyscalls, protocol.SystemCall, protocol.PerSecond, 1e4, 1e9},
		{protocol.ModeFaults, protocol.FirstPageFault, protocol.PerSecond, 1e3, 1e8},
		{protocol.ModeFaults, protocol.PageFault, protocol.PerSecond, 1e3, 1e8},
	} {
		runMode(t, tt.mode).has(t, tt.metric, tt.unit, tt.least, tt.most)
	}
}

// A rate is the work that was done by the time that it took, in most slices of it: one
// call in ten is far slower.
func TestRate(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func(stdout *os.File) { os.Stdout = stdout }(os.Stdout)
	os.Stdout = w
	calls := 0
	if err := rate("x", protocol.PerSecond, 100, func() error {
		calls++
		time.Sleep(10 * time.Millisecond)
		if calls%10 == 0 {
			time.Sleep(100 * time.Millisecond)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	// No call is shorter than 10 ms, and the mean of all is twice that.
	result := lines(t, string(out))[0].(*protocol.Result)
	if most := 100 / 0.01; result.Value > most || result.Value < most*2/3 {
		t.Errorf("%d calls: %v a second, want somewhat less than %v", calls, result.Value, most)
	}
	if calls < sliceCount || calls > 2*sliceCount {
		t.Errorf("%d calls of 10 ms in %d slices of %v", calls, sliceCount, sliceTime)
	}
}

func TestRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, make([]byte, 3*pageSize+1), 0o600); err != nil {
		t.Fatal(err)
	}
	s := runMode(t, protocol.ModeRead, name)
	s.has(t, protocol.Read, protocol.PerSecond, 10, 1e8)
	if from := s.texts[protocol.ReadFrom]; !slices.Equal(from, []string{"device"}) && !slices.Equal(from, []string{"page-cache"}) {
		t.Errorf("read from %q", from)
	}
}

// serve accepts one connection and returns its address.
func serve(t *testing.T, peer func(net.Conn) error) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		c, err := l.Accept()
		if err == nil {
			err = peer(c)
			c.Close()
		}
		ended <- err
	}()
	t.Cleanup(func() {
		l.Close()
		if err := <-ended; err != nil {
			t.Errorf("the payload's peer: %v", err)
		}
	})
	return l.Addr().String()
}

func TestRoundTrip(t *testing.T) {
	sent := make(chan int64, 1)
	address := serve(t, func(c net.Conn) error {
		n, err := io.Copy(c, c)
		sent <- n
		return err
	})
	s := runMode(t, protocol.ModeRoundTrip, address)
	s.has(t, protocol.RoundTrip, protocol.PerSecond, 100, 1e7)
	if bytes := <-sent; bytes == 0 || bytes%protocol.MessageSize != 0 {
		t.Errorf("%d bytes were sent back, want messages of %d", bytes, protocol.MessageSize)
	}
}

// All bytes that are counted have been read.
func TestStreamTo(t *testing.T) {
	read := make(chan int64, 1)
	address := serve(t, func(c net.Conn) error {
		n, err := io.Copy(io.Discard, c)
		read <- n
		time.Sleep(measured) // the payload hears of it only when the connection is closed
		return err
	})
	s := runMode(t, protocol.ModeStream, address, protocol.StreamTo)
	s.has(t, protocol.StreamedTo, protocol.BytesPerSecond, 1e6, float64(<-read)/(2*measured).Seconds())
}

func TestStreamFrom(t *testing.T) {
	address := serve(t, func(c net.Conn) error {
		p := make([]byte, 1<<20)
		for {
			if _, err := c.Write(p); err != nil {
				return nil // the payload has what it wants
			}
		}
	})
	runMode(t, protocol.ModeStream, address, protocol.StreamFrom).has(t, protocol.StreamedFrom, protocol.BytesPerSecond, 1e6, 1e12)
}

// A peer that closes too early makes no result.
func TestStreamFromEndsEarly(t *testing.T) {
	address := serve(t, func(c net.Conn) error {
		_, err := c.Write(make([]byte, 10))
		return err
	})
	wantFailure(t, statusFailure, "EOF", protocol.ModeStream, address, protocol.StreamFrom)
}

func TestIdentity(t *testing.T) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Fatal(err)
	}
	s := runMode(t, protocol.ModeIdentity)
	for metric, want := range map[string]string{
		protocol.SystemName: "Linux",
		protocol.Release:    unix.ByteSliceToString(u.Release[:]),
		protocol.HostName:   unix.ByteSliceToString(u.Nodename[:]),
	} {
		if got := s.texts[metric]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s = %q, want %q", metric, got, want)
		}
	}
	if len(s.texts[protocol.ProcVersion]) != 1 || !strings.HasPrefix(s.texts[protocol.ProcVersion][0], "Linux version ") {
		t.Errorf("/proc/version = %q", s.texts[protocol.ProcVersion])
	}
	s.has(t, protocol.PID, protocol.Count, 2, 1<<22)
	s.has(t, protocol.Processes, protocol.Count, 2, 1<<22)
}

func TestReach(t *testing.T) {
	s := runMode(t, protocol.ModeReach)
	s.has(t, protocol.Files, protocol.Count, 100, protocol.MaxFiles)
	s.has(t, protocol.Devices, protocol.Count, 1, protocol.MaxFiles)
	s.has(t, protocol.Mounts, protocol.Count, 1, 1e6)
	s.has(t, protocol.Capabilities, protocol.Count, 0, 64)
	s.has(t, protocol.Seccomp, protocol.Count, 0, 2)
	s.has(t, protocol.NoNewPrivileges, protocol.Count, 0, 1)
	pid, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.texts[protocol.Namespace], pid) {
		t.Errorf("namespaces %q, want %q among them", s.texts[protocol.Namespace], pid)
	}
}

func TestCountTree(t *testing.T) {
	dir := tree(t, map[string]string{"a/b": "", "a/c": "", "d": ""})
	for limit, want := range map[int]int{0: 0, 3: 3, 100: 4} {
		if got := countTree(dir, limit, func(os.FileMode) bool { return true }); got != want {
			t.Errorf("with limit %d: %d files, want %d", limit, got, want)
		}
	}
	if got := countTree(dir, 100, os.FileMode.IsDir); got != 1 {
		t.Errorf("%d directories, want 1", got)
	}
	if got := countTree(dir+"/none", 100, os.FileMode.IsDir); got != 0 {
		t.Errorf("%d directories where there is nothing", got)
	}
}

// tree makes files of these contents.
func tree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestHash(t *testing.T) {
	files := map[string]string{"a/b": "one", "c": "three"}
	s := runMode(t, protocol.ModeHash, tree(t, files))
	s.has(t, protocol.HashFile, protocol.Count, 2, 2)
	s.has(t, protocol.HashSize, protocol.Bytes, 8, 8)
	sum := func(files map[string]string) string {
		return runMode(t, protocol.ModeHash, tree(t, files)).texts[protocol.Tree][0]
	}
	same := s.texts[protocol.Tree][0]
	if again := sum(files); again != same {
		t.Errorf("the same tree has the sums %s and %s", same, again)
	}
	for _, other := range []map[string]string{
		{"a/b": "one", "c": "THREE"}, {"a/b": "one", "d": "three"}, {"a/b": "one"}, {"a/b": "onet", "c": "hree"},
	} {
		if sum(other) == same {
			t.Errorf("%v has the same sum as %v", slices.Sorted(maps.Keys(other)), slices.Sorted(maps.Keys(files)))
		}
	}
}

// Following the chain visits every link before it is back.
func TestChain(t *testing.T) {
	r := make(region, 100*cacheLine)
	chain(r)
	seen := map[uint32]bool{}
	for at := uint32(0); !seen[at]; at = follow(r, at) {
		seen[at] = true
	}
	if len(seen) != 100 {
		t.Errorf("the chain has %d links, want 100", len(seen))
	}
}

func TestKernelMemory(t *testing.T) {
	s := runMode(t, protocol.ModeKernelMemory)
	s.has(t, protocol.KernelMemory, protocol.Bytes, 1<<20, 1<<50)
	s.has(t, protocol.KernelMemoryUsed, protocol.Bytes, 1<<18, s.values[protocol.KernelMemory].Value)
}
