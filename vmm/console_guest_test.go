package vmm_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/vmm"
)

// withHVC gives g a virtio console.
func (g *guest) withHVC() *guest {
	g.Console.Kind = vmm.ConsoleVirtio
	g.Cmdline = strings.Replace(g.Cmdline, warnings, vmm.ConsoleVirtio.Cmdline()+" loglevel=5 "+vmm.ConsoleVirtio.EarlyCmdline(), 1)
	return g
}

// The kernel's messages are shown from the first on, each as often as it is in the
// kernel's log, by the serial port and then by hvc0; and hvc0 is the console of the
// payload.
func TestHVCHandover(t *testing.T) {
	g := newGuest(t, "cat /proc/consoles; echo message > /dev/kmsg; sleep 1; dmesg").withHVC()
	g.Cmdline = strings.Replace(g.Cmdline, "loglevel=5", "loglevel=8", 1)
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	out := g.console.text()
	shown, logged := map[string]int{}, map[string]int{}
	for line := range strings.Lines(out) {
		if stamped.MatchString(line) {
			shown[line]++
		} else if level := loggedLevel.FindString(line); level != "" {
			logged[line[len(level):]]++
		}
	}
	if len(logged) < 100 {
		t.Errorf("%d lines of the kernel's log in\n%s", len(logged), out)
	}
	for line, n := range shown {
		if most := max(logged[line], 1); n > most { // those of the end are not in the log yet
			t.Errorf("%d times, and %d times in the log: %s", n, most, line)
		}
	}
	for _, want := range []string{"Linux version ", "console [hvc0] enabled", "\nhvc0 ", "] message\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

// A guest without hvc0's driver says so, and has the serial port for its console:
// a script on it is run, and not echoed.
func TestHVCWithoutDriver(t *testing.T) {
	g := newGuest(t, "").withHVC()
	g.Kernel = kernelImage(t, "generic") // for which the initramfs has no modules
	g.console.input = []byte("echo $((6 * 7)) is the answer; exit 3\n")
	g.run(t).wants(t, vmm.EndPoweredOff, 3)
	out := g.console.text()
	for _, want := range []string{"virtio_console, is missing", "42 is the answer"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(out, "6 * 7") {
		t.Errorf("the script is echoed:\n%s", out)
	}
}

// stamped are the kernel's messages, with their time; those of its log have a level
// before that.
var (
	stamped     = regexp.MustCompile(`^\[ *\d+\.\d+\] `)
	loggedLevel = regexp.MustCompile(`^<\d+>`)
)

// A script is run and not echoed, its end is the shell's, and its status the
// guest's. Of the kernel's messages only warnings are shown, from the first on.
func TestHVCScript(t *testing.T) {
	g := newGuest(t, "").withHVC()
	g.console.input = []byte("echo $((6 * 7)) is the answer\nexit 3") // no newline at the end
	g.run(t).wants(t, vmm.EndPoweredOff, 3)
	out := g.console.text()
	if !strings.Contains(out, "42 is the answer") || strings.Contains(out, "6 * 7") || strings.Contains(out, "Linux version") {
		t.Errorf("console says\n%s", out)
	}
}

// More input than all of the guest's buffers hold, for a payload that does not
// read at first, arrives to the last byte.
func TestHVCInput(t *testing.T) {
	g := newGuest(t, "sleep 2; shasum -a 256").withHVC()
	g.console.input = bytes.Repeat([]byte("a line of input\n"), 300*vmm.KiB/16)
	want := hex.EncodeToString(hash(g.console.input))
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	if out := g.console.text(); !strings.Contains(out, want) {
		t.Errorf("no hash %s in\n%s", want, out)
	}
}

func hash(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// Eight MiB come as they were sent.
func TestHVCThroughput(t *testing.T) {
	const (
		bulk     = 8 * vmm.MiB
		from, to = "-- from here --\n", "-- to here --\n"
	)
	if inGuest() {
		text := bytes.Repeat([]byte("fifteen letters\n"), bulk/16)
		for i := range bulk / 16 { // so that what is lost or out of order shows
			copy(text[16*i:], fmt.Sprintf("%06x", i))
		}
		began := time.Now()
		fmt.Printf("%s%s%s", from, text, to)
		fmt.Printf("sent %x in %v\n", hash(text), time.Since(began))
		return
	}
	g := newGuestHalf(t).withHVC()
	g.Cmdline = strings.Replace(g.Cmdline, "loglevel=5", "loglevel=0", 1) // nothing of the kernel's among it
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	_, rest, _ := strings.Cut(g.console.text(), from)
	text, rest, _ := strings.Cut(rest, to)
	said := regexp.MustCompile(`sent ([0-9a-f]{64}) in (\S+)`).FindStringSubmatch(rest)
	if said == nil {
		t.Fatalf("the guest does not say what it has sent: %.300s", rest)
	}
	if got := hash([]byte(text)); hex.EncodeToString(got) != said[1] {
		t.Errorf("%d bytes with hash %x arrived, of %d with %s", len(text), got, bulk, said[1])
	}
	took, err := time.ParseDuration(said[2])
	if err != nil {
		t.Fatal(err)
	}
	// How fast it is depends on how busy the host is.
	t.Logf("%.2f MB/s; %+v", bulk/took.Seconds()/1e6, g.stats.Virtio[0].Queues[1])
}

// A terminal's size is the guest's from the beginning, and follows it, with the
// signal that says so.
func TestHVCResize(t *testing.T) {
	sizes := []unix.Winsize{{Col: 100, Row: 30}, {Col: 101, Row: 31}, {Col: 300, Row: 7}}
	if inGuest() {
		changes := make(chan os.Signal, 1)
		signal.Notify(changes, unix.SIGWINCH)
		for i, want := range sizes {
			fmt.Printf("wanting size %d.\n", i)
			awaitSize(t, changes, want)
		}
		return
	}
	g := newGuestHalf(t).withHVC()
	g.Console.Terminal, g.Console.Columns, g.Console.Rows = true, sizes[0].Col, sizes[0].Row
	g.Console.In = nil
	g.with(t, func(ctx context.Context, m *vmm.Machine) {
		for i, size := range sizes[1:] {
			if g.console.await(ctx, fmt.Sprintf("wanting size %d.", i+1)) {
				m.Resize(size.Col, size.Row)
			}
		}
	})
	g.wants(t, vmm.EndPoweredOff, 0)
}

// awaitSize waits until the terminal has the size that is wanted.
func awaitSize(t *testing.T, changes <-chan os.Signal, want unix.Winsize) {
	t.Helper()
	for {
		got, err := unix.IoctlGetWinsize(1, unix.TIOCGWINSZ)
		if err != nil {
			t.Fatal(err)
		}
		if got.Col == want.Col && got.Row == want.Row {
			return
		}
		select {
		case <-changes:
		case <-time.After(guestTime / 4):
			t.Fatalf("the size is %dx%d, not %dx%d", got.Col, got.Row, want.Col, want.Row)
		}
	}
}

// A generic port carries bytes both ways, at its name, beside the console.
func TestHVCPort(t *testing.T) {
	const name = "org.microvm.control"
	if inGuest() {
		port, err := os.OpenFile(portDevice(t, name), os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer port.Close()
		request := make([]byte, vmm.MiB)
		if _, err := io.ReadFull(port, request); err != nil {
			t.Fatal(err)
		}
		if _, err := port.Write(append(hash(request), request...)); err != nil {
			t.Fatal(err)
		}
		return
	}
	g := newGuestHalf(t).withHVC()
	g.Console.Ports = []string{name}
	request := bytes.Repeat([]byte("request "), vmm.MiB/8)
	want := append(hash(request), request...)
	var answer []byte
	g.with(t, func(ctx context.Context, m *vmm.Machine) {
		port := m.Port(name)
		if err := port.AwaitOpen(ctx); err != nil {
			t.Error(err)
			return
		}
		if n, err := port.Write(ctx, request); err != nil {
			t.Errorf("%d bytes written, %v", n, err)
		}
		chunk := make([]byte, 4096)
		for len(answer) < len(want) {
			n, err := port.Read(ctx, chunk)
			if err != nil {
				t.Error(err)
				return
			}
			answer = append(answer, chunk[:n]...)
		}
	})
	g.wants(t, vmm.EndPoweredOff, 0)
	if !bytes.Equal(answer, want) {
		t.Errorf("an answer of %d bytes, %.40x", len(answer), answer)
	}
}

// portDevice is the path of the generic port of that name, in the guest.
func portDevice(t *testing.T, name string) string {
	t.Helper()
	names, err := filepath.Glob("/sys/class/virtio-ports/*/name")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range names {
		if text, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(text)) == name {
			return "/dev/" + filepath.Base(filepath.Dir(file))
		}
	}
	t.Fatalf("no port %q among %q", name, names)
	return ""
}

// slow is a console whose reader takes its time.
type slow struct{ *console }

func (s slow) Write(ctx context.Context, p []byte) (int, error) {
	time.Sleep(50 * time.Millisecond)
	return s.console.Write(ctx, p)
}

// A guest that powers off at once after its output loses none of it, however
// slow its reader is.
func TestHVCDrain(t *testing.T) {
	g := newGuest(t, "seq 1 20000 > numbers; cat numbers").withHVC()
	g.Console.Out = slow{g.console}
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
	var want strings.Builder
	for i := range 20000 {
		fmt.Fprintln(&want, i+1)
	}
	if out := g.console.text(); !strings.Contains(out, want.String()) {
		t.Errorf("lost: %.300s … %s", out, out[max(0, len(out)-300):])
	}
}

// With no console a guest runs and ends as ever, and sends nothing to its serial
// port.
func TestConsoleOff(t *testing.T) {
	g := newGuest(t, "echo anybody there; exit 7")
	g.Cmdline = strings.Replace(g.Cmdline, warnings, vmm.ConsoleOff.Cmdline(), 1)
	g.Console.Kind = vmm.ConsoleOff
	g.run(t).wants(t, vmm.EndPoweredOff, 7)
	if out := g.console.text(); out != "" || g.stats.Console.Out > 0 {
		t.Errorf("%d bytes sent, and output %q", g.stats.Console.Out, out)
	}
}
