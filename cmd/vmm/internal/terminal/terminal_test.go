package terminal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// The test binary plays the other processes of these tests: the guard, and a
// process that makes its terminal raw and then dies in the way that role says.
const roleVariable = "TERMINAL_TEST_ROLE"

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if len(os.Args) > 1 && os.Args[1] == "guard" {
		Guard(os.Stdin, os.Stdout)
		return
	}
	if role == "background" {
		inBackground()
		return
	}
	raw, err := MakeRaw(os.Stdin, []string{os.Args[0], "guard"})
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString("raw\n")
	switch role {
	case "restore":
		raw.Restore()
	case "panic":
		go panic("a test of what a panic on another goroutine leaves")
		select {}
	case "kill":
		unix.Kill(os.Getpid(), unix.SIGKILL)
	}
}

// inBackground is a process that leads a session on its terminal and is put in
// the background. It writes to standard error what is not as it should be.
func inBackground() {
	complain := func(ok bool, what string) {
		if !ok {
			fmt.Fprintln(os.Stderr, what)
		}
	}
	tty := int(os.Stdin.Fd())
	before, err := unix.IoctlGetTermios(tty, unix.TCGETS)
	complain(err == nil, "no modes")
	is := func(want *unix.Termios) bool {
		now, err := unix.IoctlGetTermios(tty, unix.TCGETS)
		return err == nil && *now == *want
	}
	left, err := MakeRaw(os.Stdin, nil)
	complain(err == nil, "the first MakeRaw failed")
	taken := &Raw{fd: tty, modes: left.modes}

	other := exec.Command("sleep", "60")
	other.SysProcAttr = &syscall.SysProcAttr{Foreground: true, Ctty: tty}
	complain(other.Start() == nil, "no process for the foreground")
	defer other.Wait()
	defer other.Process.Kill()

	complain(left.Restore() == nil && is(before), "Restore did not mend raw modes that are still there")
	theirs := *before
	theirs.Lflag &^= unix.ECHO
	complain(unix.IoctlSetTermios(tty, unix.TCSETS, &theirs) == nil, "SIGTTOU is not ignored")
	complain(taken.Again() == nil && is(&theirs), "Again took another's terminal")
	complain(taken.Restore() == nil && is(&theirs), "Restore changed another's terminal")
	_, err = MakeRaw(os.Stdin, nil)
	complain(errors.Is(err, errBackground) && is(&theirs), "MakeRaw took another's terminal")
}

func termios(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	got, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *got
}

func openPTY(t *testing.T) (master, tty *os.File) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close(); tty.Close() })
	return master, tty
}

func TestRawAndRestore(t *testing.T) {
	_, tty := openPTY(t)
	before := termios(t, tty)
	r, err := MakeRaw(tty, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw := termios(t, tty)
	if raw.Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != 0 || raw.Oflag&unix.OPOST != 0 {
		t.Errorf("not raw: lflag %#x, oflag %#x", raw.Lflag, raw.Oflag)
	}
	// A shell that stops and continues the process sets its own modes.
	if err := unix.IoctlSetTermios(int(tty.Fd()), unix.TCSETS, &before); err != nil {
		t.Fatal(err)
	}
	if err := r.Again(); err != nil || termios(t, tty) != raw {
		t.Errorf("Again: %v, raw: %t", err, termios(t, tty) == raw)
	}
	for range 2 {
		if err := r.Restore(); err != nil || termios(t, tty) != before {
			t.Errorf("Restore: %v, as before: %t", err, termios(t, tty) == before)
		}
	}
	if err := r.Again(); err != nil || termios(t, tty) != before {
		t.Errorf("Again after Restore: %v, as before: %t", err, termios(t, tty) == before)
	}
}

func TestRestoredWhateverHappens(t *testing.T) {
	for _, role := range []string{"restore", "panic", "kill"} {
		t.Run(role, func(t *testing.T) {
			master, tty := openPTY(t)
			before := termios(t, tty)
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE=atexit_sleep_ms=0")
			cmd.Stdin, cmd.Stdout = tty, tty
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			tty.Close()
			said := make([]byte, 4)
			if _, err := io.ReadFull(master, said); err != nil || !strings.HasPrefix(string(said), "raw") {
				t.Fatalf("%q, %v; want raw", said, err)
			}
			// The guard has the terminal open until it ends; then reading
			// the other side fails. The modes can be read there as well.
			if _, err := io.Copy(io.Discard, master); !errors.Is(err, unix.EIO) {
				t.Fatal(err)
			}
			cmd.Wait()
			if termios(t, master) != before {
				t.Error("the terminal is not as it was")
			}
		})
	}
}

func TestBackground(t *testing.T) {
	_, tty := openPTY(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), roleVariable+"=background", "GORACE=atexit_sleep_ms=0")
	cmd.Stdin, cmd.Stdout = tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	var problems strings.Builder
	cmd.Stderr = &problems
	if err := cmd.Run(); err != nil || problems.String() != "" {
		t.Errorf("%v:\n%s", err, &problems)
	}
}

func TestMakeRawOfNoTerminal(t *testing.T) {
	f, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := MakeRaw(f, nil); err == nil {
		t.Error("MakeRaw of the null device succeeded")
	}
	if IsTerminal(f) {
		t.Error("the null device is a terminal")
	}
	if c, r := Size(f); c != 0 || r != 0 {
		t.Errorf("Size = %d, %d; want 0, 0", c, r)
	}
}

func TestSize(t *testing.T) {
	master, tty := openPTY(t)
	if err := pty.Setsize(master, &pty.Winsize{Cols: 132, Rows: 43}); err != nil {
		t.Fatal(err)
	}
	if c, r := Size(tty); c != 132 || r != 43 {
		t.Errorf("Size = %d, %d; want 132, 43", c, r)
	}
}

func TestFilter(t *testing.T) {
	for _, tt := range []struct{ in, guest, commands string }{
		{"hello\r", "hello\r", ""},
		{"\x03\x04\x1c", "\x03\x04\x1c", ""}, // Ctrl-C, Ctrl-D and Ctrl-\ are the guest's
		{"\x01x", "", "leave "},
		{"\x01h", "", "help "},
		{"a\x01hb\x01xc", "abc", "help leave "},
		{"\x01\x01x", "\x01x", ""},
		{"\x01\x01\x01x", "\x01", "leave "},
		{"\x01e", "\x01e", ""},
		{"\x01", "", ""},
	} {
		for split := 0; split <= len(tt.in); split++ { // in every two pieces
			var guest, commands strings.Builder
			f := filter{
				emit: func(c byte) { guest.WriteByte(c) },
				do: Actions{
					Leave: func() { commands.WriteString("leave ") },
					Help:  func() { commands.WriteString("help ") },
				},
			}
			f.add([]byte(tt.in[:split]))
			f.add([]byte(tt.in[split:]))
			if guest.String() != tt.guest || commands.String() != tt.commands {
				t.Errorf("%q cut at %d: guest %q, commands %q; want %q, %q",
					tt.in, split, guest.String(), commands.String(), tt.guest, tt.commands)
			}
		}
	}
}

// typist is a Source that gives pieces and then waits, or ends.
type typist struct {
	pieces []string
	end    error
}

func (s *typist) Read(ctx context.Context, p []byte) (int, error) {
	if len(s.pieces) > 0 {
		n := copy(p, s.pieces[0])
		s.pieces = s.pieces[1:]
		return n, nil
	}
	if s.end != nil {
		return 0, s.end
	}
	<-ctx.Done()
	return 0, ctx.Err()
}

func TestKeyboardObeysWhileGuestDoesNotRead(t *testing.T) {
	flood := strings.Repeat("x", 256)
	pieces := make([]string, 2*maxTyped/len(flood))
	for i := range pieces {
		pieces[i] = flood
	}
	left := make(chan struct{})
	k := NewKeyboard()
	k.Start(&typist{pieces: append(pieces, "\x01", "x")}, Actions{Leave: func() { close(left) }})
	defer k.Close()
	<-left
	p := make([]byte, 2*maxTyped)
	if n, err := k.Read(t.Context(), p); n != maxTyped || err != nil {
		t.Errorf("Read = %d, %v; want the %d keys that are kept", n, err, maxTyped)
	}
}

func TestKeyboardReads(t *testing.T) {
	k := NewKeyboard()
	k.Start(&typist{pieces: []string{"abc"}, end: io.EOF}, Actions{})
	defer k.Close()
	var got []byte
	p := make([]byte, 2)
	for {
		n, err := k.Read(t.Context(), p)
		got = append(got, p[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if string(got) != "abc" {
		t.Errorf("read %q, want abc", got)
	}
}

func TestKeyboardReadIsInterrupted(t *testing.T) {
	k := NewKeyboard()
	k.Start(&typist{}, Actions{})
	defer k.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := k.Read(ctx, make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("Read = %d, %v; want context.Canceled", n, err)
	}
}

func TestMessages(t *testing.T) {
	var out bytes.Buffer
	m := NewMessages(&out)
	io.WriteString(m, "a\nb\n")
	m.SetRaw(true)
	n, err := io.WriteString(m, "c\nd\n")
	if got, want := out.String(), "a\nb\nc\r\nd\r\n"; got != want || n != 4 || err != nil {
		t.Errorf("wrote %q (%d, %v), want %q", got, n, err, want)
	}
}
