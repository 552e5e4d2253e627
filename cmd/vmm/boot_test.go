package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"microvm/vmm"
)

func TestExitStatus(t *testing.T) {
	for _, tt := range []struct {
		fake   string
		status int
		stderr string // "" if nothing is to be said
	}{
		{"poweroff", 0, ""},
		{"status 0", 0, ""},
		{"status 7", 7, ""},
		{"end rebooted", vmm.StatusRebooted, "the guest ended: rebooted"},
		{"end panicked", vmm.StatusPanicked, "the guest ended: panicked"},
		{"end kvm-internal-error", vmm.StatusInternalError, "kvm-internal-error"},
		{"no cache", 0, "vmm: the decompressed kernel is not kept: the disk is full; indeed\n"},
		{"dies", vmm.StatusTripleFault, "vCPU 1 died. Likely cause: a test\n  rip 1\n"},
		{"fails", vmm.StatusFailure, "vmm boot: no more\n"},
		{"no machine", vmm.StatusFailure, "vmm boot: no machine today\n"},
	} {
		t.Run(tt.fake, func(t *testing.T) {
			t.Parallel()
			got := run(t, program(t, tt.fake, "boot", "--kernel", kernelFile(t)))
			if got.status != tt.status {
				t.Errorf("status %d, want %d", got.status, tt.status)
			}
			if tt.stderr == "" && got.stderr != "" {
				t.Errorf("standard error has %q", got.stderr)
			}
			wants(t, "standard error", got.stderr, tt.stderr)
		})
	}
}

func TestReboot(t *testing.T) {
	kernel := kernelFile(t)
	once := run(t, program(t, "reboots 2", "boot", "--kernel", kernel))
	if once.status != vmm.StatusRebooted || once.stdout != announcement {
		t.Errorf("exit: %+v", once)
	}
	again := run(t, program(t, "reboots 2", "boot", "--kernel", kernel, "--on-reboot", "restart"))
	if again.status != 0 || again.stdout != strings.Repeat(announcement, 3) {
		t.Errorf("restart: %+v", again)
	}
}

func TestInputFromPipe(t *testing.T) {
	cmd := program(t, "echo", "boot", "--kernel", kernelFile(t))
	cmd.Stdin = strings.NewReader("hello\x01x\n") // no command: this is no terminal
	if got, want := run(t, cmd), (result{announcement + "hello\x01x\n", "", 0}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestInputFromNothing(t *testing.T) {
	kernel := kernelFile(t)
	for name, shell := range map[string]string{"null device": `exec "$@" </dev/null`, "closed": `exec "$@" <&-`} {
		cmd := program(t, "echo", "boot", "--kernel", kernel)
		cmd.Args = append([]string{"sh", "-c", shell, "sh", os.Args[0]}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		if got, want := run(t, cmd), (result{announcement, "", 0}); got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
}

func TestClosedOutput(t *testing.T) {
	t.Run("pipe", func(t *testing.T) {
		cmd := program(t, "floods", "boot", "--kernel", kernelFile(t))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		io.ReadFull(out, make([]byte, 1))
		out.Close()
		cmd.Wait()
		if status := cmd.ProcessState.ExitCode(); status != vmm.StatusFailure {
			t.Errorf("status %d, want %d", status, vmm.StatusFailure)
		}
		wants(t, "standard error", stderr.String(), "nobody reads it any more")
	})
	for name, shell := range map[string]string{"closed": `"$@" >&-`, "errors closed": `"$@" 2>&-`} {
		t.Run(name, func(t *testing.T) {
			cmd := program(t, "echo", "boot", "--kernel", kernelFile(t))
			cmd.Args = append([]string{"sh", "-c", shell, "sh", os.Args[0]}, cmd.Args[1:]...)
			cmd.Path = "/bin/sh"
			if got := run(t, cmd); got.status != 0 || got.stderr != "" {
				t.Errorf("got %+v", got)
			}
		})
	}
}

func TestMessagesThatNobodyReads(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	defer w.Close()
	cmd := program(t, "end rebooted", "boot", "--kernel", kernelFile(t))
	cmd.Stderr = w
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != vmm.StatusRebooted {
		t.Errorf("ended with %v, want exit status %d", cmd.ProcessState, vmm.StatusRebooted)
	}
}

// begin starts cmd, whose guest is a fake, and waits until it runs.
func begin(t *testing.T, cmd *exec.Cmd) (stderr *bytes.Buffer) {
	t.Helper()
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr = new(bytes.Buffer)
	cmd.Stderr = stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != announcement {
		t.Fatalf("the guest said %q, %v; standard error: %s", line, err, stderr)
	}
	return stderr
}

func TestSignals(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		name := unix.SignalName(s)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := program(t, "hangs", "boot", "--kernel", kernelFile(t))
			stderr := begin(t, cmd)
			if err := cmd.Process.Signal(s); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			if status := cmd.ProcessState.ExitCode(); status != vmm.StatusStopped {
				t.Errorf("status %d, want %d", status, vmm.StatusStopped)
			}
			wants(t, "standard error", stderr.String(), "the guest ended: stopped: "+name)
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGINT, unix.SIGQUIT, unix.SIGTERM} {
		secondSignal(t, s)
	}
}

// secondSignal sends signals to a program whose guest does not end.
func secondSignal(t *testing.T, s syscall.Signal) {
	t.Helper()
	cmd := program(t, "stuck", "boot", "--kernel", kernelFile(t))
	begin(t, cmd)
	ended := make(chan struct{})
	go func() {
		cmd.Wait()
		close(ended)
	}()
	for { // two that arrive together count as one
		select {
		case <-ended:
			if got, want := cmd.ProcessState.ExitCode(), 128+int(s); got != want {
				t.Errorf("%s: ended with %v, want exit status %d", unix.SignalName(s), cmd.ProcessState, want)
			}
			return
		default:
			cmd.Process.Signal(s)
		}
	}
}

func TestSignalWhileTheMachineIsBuilt(t *testing.T) {
	stats := filepath.Join(t.TempDir(), "stats")
	if err := os.WriteFile(stats, []byte("the last run's"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, "slow", "boot", "--kernel", kernelFile(t), "--stats-file", stats)
	stderr := begin(t, cmd)
	cmd.Process.Signal(unix.SIGQUIT)
	cmd.Wait()
	if status := cmd.ProcessState.ExitCode(); status != vmm.StatusStopped {
		t.Errorf("status %d, want %d", status, vmm.StatusStopped)
	}
	wants(t, "standard error", stderr.String(), "stopped before the guest ran: SIGQUIT")
	if text, err := os.ReadFile(stats); err != nil || string(text) != "the last run's" {
		t.Errorf("the statistics are %q, %v; want what was there", text, err)
	}
}

func TestIgnoredSignalStaysIgnored(t *testing.T) {
	cmd := program(t, "hangs", "boot", "--kernel", kernelFile(t))
	cmd.Args = append([]string{"sh", "-c", `trap "" HUP; exec "$@"`, "sh", os.Args[0]}, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	stderr := begin(t, cmd)
	cmd.Process.Signal(unix.SIGHUP)
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	wants(t, "standard error", stderr.String(), "stopped: SIGTERM")
}

// bootConfig is what a fake machine got of its configuration.
type bootConfig struct {
	Kernel, Initrd, Cmdline, Entry, Cache string
	Memory                                uint64
	CPUs                                  int
	Terminal, Timed                       bool
	Columns, Rows                         int
	Console                               vmm.ConsoleKind
}

// configOf runs boot with args and returns its machine's configuration.
func configOf(t *testing.T, args ...string) bootConfig {
	t.Helper()
	got := run(t, program(t, "config", append([]string{"boot"}, args...)...))
	text, ok := strings.CutPrefix(got.stdout, announcement)
	var c bootConfig
	if err := json.Unmarshal([]byte(text), &c); err != nil || !ok {
		t.Fatalf("%v: %+v", err, got)
	}
	return c
}

func TestFlagsReachTheMachine(t *testing.T) {
	c := configOf(t, "--kernel", "k", "--initrd", "i", "--cmdline", "quiet", "--append", "ro", "--append", "x=1", "--memory", "1G", "--cpus", "3",
		"--kernel-entry", "pvh", "--cache-dir", "/c", "--stats", "--", "sh", "-c", "echo hi")
	want := bootConfig{Kernel: "k", Initrd: "i", Cmdline: `quiet ro x=1 -- sh -c "echo hi"`, Entry: "pvh", Memory: 1 << 30, CPUs: 3, Cache: "/c", Timed: true, Console: vmm.ConsoleSerial}
	if c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
	c = configOf(t, "--kernel", "k")
	if c.Cmdline != vmm.ConsoleSerial.Cmdline() || c.Memory != vmm.DefaultMemory || c.CPUs != 1 || c.Entry != "auto" || filepath.Base(c.Cache) != "vmm" || c.Timed {
		t.Errorf("defaults: %+v", c)
	}
	early := vmm.ConsoleVirtio.EarlyCmdline() // behind all that says how much it shows
	if c := configOf(t, "--kernel", "k", "--console", "virtio", "--append", "quiet"); c.Console != vmm.ConsoleVirtio || c.Cmdline != vmm.ConsoleVirtio.Cmdline()+" quiet "+early {
		t.Errorf("--console virtio: %+v", c)
	}
	if c := configOf(t, "--kernel", "k", "--console", "virtio", "--cmdline", ""); c.Cmdline != "" {
		t.Errorf("--cmdline of the user's own: %q", c.Cmdline)
	}
	if c := configOf(t, "--kernel", "k", "--no-cache"); c.Cache != "" {
		t.Errorf("--no-cache: the cache is %q", c.Cache)
	}
}

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"c.toml": "kernel = 'k'\ninitrd = '/i'\nmemory = '1G'\ncpus = 2\nappend = ['ro', 'quiet']\nno-cache = true\ncmdline = ''\n",
		"c.json": `{"kernel": "k", "initrd": "/i", "memory": 1073741824, "cpus": 2, "append": ["ro", "quiet"], "no-cache": true, "cmdline": ""}`,
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		want := bootConfig{Kernel: filepath.Join(dir, "k"), Initrd: "/i", Memory: 1 << 30, CPUs: 2, Cmdline: "ro quiet", Entry: "auto", Console: vmm.ConsoleSerial}
		if c := configOf(t, "--config", path); c != want {
			t.Errorf("%s: got  %+v\nwant %+v", name, c, want)
		}
		want.CPUs = 4
		if c := configOf(t, "--config", path, "--cpus", "4"); c != want {
			t.Errorf("%s and a flag: got %+v\nwant %+v", name, c, want)
		}
	}
}

func TestConfigFileErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.toml")
	text := "kernal = 'k'\nmemory = 'much'\ncpus = 'two'\nno-cache = 1\n\n[boot]\nx = 1\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, program(t, "poweroff", "boot", "--config", path, "--on-reboot", "no"))
	if got.status != vmm.StatusUsage {
		t.Errorf("status %d, want %d", got.status, vmm.StatusUsage)
	}
	wants(t, "standard error", got.stderr,
		path+`:1: no setting "kernal"; did you mean "kernel"?`,
		path+`:2: memory: "much": not a size`,
		path+`:3: cpus: must be a whole number`,
		path+`:4: no-cache: must be true or false`,
		path+`:6: no setting "boot"`,
		`--on-reboot: "no"`)
}

func TestConfigFileErrorsAreSaidOnce(t *testing.T) {
	for text, want := range map[string]string{
		"kernel = 3\n":    "c.toml:1: kernel: must be a string",
		"kernel = ''\n":   "c.toml:1: kernel: \"\": the name is empty",
		"kernel = 'k\n":   "c.toml:1: not TOML",
		"\nkernel = []\n": "c.toml:2: kernel: must be a string",
	} {
		path := filepath.Join(t.TempDir(), "c.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got := run(t, program(t, "poweroff", "boot", "--config", path))
		wants(t, "standard error", got.stderr, want)
		if strings.Contains(got.stderr, "no kernel image") {
			t.Errorf("%q: %s", text, got.stderr)
		}
	}
}

func TestOutputFiles(t *testing.T) {
	dir := t.TempDir()
	console, stats, trace := filepath.Join(dir, "console"), filepath.Join(dir, "stats"), filepath.Join(dir, "trace")
	in := filepath.Join(dir, "in")
	for name, text := range map[string]string{console: "the last run's\n" + strings.Repeat("x", 100), in: "typed\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	args := []string{"boot", "--kernel", kernelFile(t), "--console-output", console, "--console-input", in,
		"--stats=json", "--stats-file", stats, "--trace", "events,exits", "--trace-file", trace}

	failed := run(t, program(t, "no machine", args...))
	if text, err := os.ReadFile(console); failed.status != vmm.StatusFailure || err != nil || !strings.HasPrefix(string(text), "the last run's") {
		t.Errorf("a boot that failed: status %d, console %q, %v", failed.status, text, err)
	}
	for _, name := range []string{stats, trace} {
		if _, err := os.Stat(name); !os.IsNotExist(err) {
			t.Errorf("a boot that failed left %s (%v)", name, err)
		}
	}

	if got := run(t, program(t, "echo", args...)); got != (result{}) {
		t.Errorf("got %+v, want nothing", got)
	}
	if text, err := os.ReadFile(console); err != nil || string(text) != announcement+"typed\n" {
		t.Errorf("console %q, %v", text, err)
	}
	if text, err := os.ReadFile(trace); err != nil || !strings.HasSuffix(string(text), " event "+vmm.EventLoaded+"\n") || text[0] != ' ' {
		t.Errorf("trace %q, %v; want what happened while the machine was built", text, err)
	}
	text, err := os.ReadFile(stats)
	var s vmm.Stats
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil || s.Exits[0].Count != 3 {
		t.Errorf("statistics %s, %v", text, err)
	}
}

func TestOutputsThatAreOneFile(t *testing.T) {
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for _, flags := range [][2]string{{"console-output", "stats-file"}, {"console-output", "trace-file"}, {"stats-file", "trace-file"}} {
		boot := func(first, second string) result {
			return run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--trace", "events", "--"+flags[0], first, "--"+flags[1], second))
		}
		got := boot(file, link)
		if got.status != vmm.StatusUsage {
			t.Errorf("%v: %+v", flags, got)
		}
		wants(t, "standard error", got.stderr, "--"+flags[0]+" and --"+flags[1]+" are the same file")
		if _, err := os.Stat(file); !os.IsNotExist(err) {
			t.Errorf("%v: a boot that was refused left a file (%v)", flags, err)
		}
		if got := boot(os.DevNull, os.DevNull); got.status != 0 {
			t.Errorf("%v, the null device: %+v", flags, got)
		}
	}
}

func TestStatsTable(t *testing.T) {
	got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), "--stats"))
	wants(t, "standard error", got.stderr, "first KVM_RUN", "guest mark 1: init ", "guest mark 7 ", "KVM_EXIT_IO", "100.0 %", "com1+0x0", "port 0x3f8", "512 MiB of RAM", "entry elf", "read")
	if got.stdout != announcement {
		t.Errorf("standard output has %q", got.stdout)
	}
}

func TestFilesThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	for _, flag := range []string{"--console-output", "--console-input", "--stats-file"} {
		for _, path := range []string{dir, filepath.Join(dir, "none", "file")} {
			got := run(t, program(t, "poweroff", "boot", "--kernel", kernelFile(t), flag, path))
			if got.status != vmm.StatusFailure {
				t.Errorf("%s %s: status %d, want %d", flag, path, got.status, vmm.StatusFailure)
			}
			wants(t, "standard error", got.stderr, path)
		}
	}
}

// onTerminal starts vmm on a terminal of its own, with a fake guest, and waits
// until that runs. It returns what comes from the terminal, line by line.
func onTerminal(t *testing.T, fake string, args ...string) (cmd *exec.Cmd, master *os.File, lines *bufio.Reader, before unix.Termios) {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	t.Cleanup(func() { master.Close() })
	if err := pty.Setsize(master, &pty.Winsize{Cols: 120, Rows: 40}); err != nil {
		t.Fatal(err)
	}
	before = modesOf(t, master)
	cmd = program(t, fake, append([]string{"boot", "--kernel", kernelFile(t)}, args...)...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	lines = bufio.NewReader(master)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v", line, err)
		}
		if line == announcement {
			return cmd, master, lines, before
		}
		if !strings.Contains(line, "Ctrl-A x") || !strings.HasSuffix(line, "\r\n") {
			t.Fatalf("a line %q before the guest's", line)
		}
	}
}

func modesOf(t *testing.T, f *os.File) unix.Termios {
	t.Helper()
	m, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	return *m
}

// ends waits for the end of a session and checks it: its status, and that the
// terminal is as it was. It returns what was still written.
func ends(t *testing.T, cmd *exec.Cmd, master *os.File, lines *bufio.Reader, before unix.Termios, status int) string {
	t.Helper()
	rest, _ := io.ReadAll(lines) // ends with EIO when nobody has the terminal open
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("status %d, want %d; terminal: %s", got, status, rest)
	}
	if modesOf(t, master) != before {
		t.Error("the terminal is not as it was")
	}
	return string(rest)
}

// Without a console nothing is read or written, and a terminal is left alone.
func TestConsoleOff(t *testing.T) {
	cmd := program(t, "status 3", "boot", "--kernel", kernelFile(t), "--console", "off")
	cmd.Stdin = strings.NewReader("typed\n")
	if got := run(t, cmd); got != (result{"", "", 3}) {
		t.Errorf("%+v", got)
	}
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	defer tty.Close()
	before := modesOf(t, tty)
	cmd = program(t, "hangs", "boot", "--kernel", kernelFile(t), "--console", "off")
	cmd.Stdin = tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // for it to make the terminal raw, which it must not
	if modesOf(t, tty) != before {
		t.Error("the terminal has changed")
	}
	cmd.Process.Signal(unix.SIGTERM)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != vmm.StatusStopped {
		t.Errorf("status %d", got)
	}
}

// The guest is told of its terminal's size, and of each other that it gets.
func TestTerminalResize(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "resizes")
	for i, size := range []pty.Winsize{{Cols: 120, Rows: 40}, {Cols: 90, Rows: 20}, {Cols: 200, Rows: 50}} {
		if i > 0 { // not the one that it had from the beginning
			if err := pty.Setsize(master, &size); err != nil {
				t.Fatal(err)
			}
			cmd.Process.Signal(unix.SIGWINCH) // as the kernel does to a terminal's foreground, which we have not
		}
		line, err := lines.ReadString('\n')
		if want := fmt.Sprintf("size %d %d\n", size.Cols, size.Rows); err != nil || line != want {
			t.Fatalf("%q, %v, want %q", line, err, want)
		}
	}
	master.WriteString("\x01x")
	ends(t, cmd, master, lines, before, vmm.StatusStopped)
}

func TestTerminalLeave(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "hangs")
	if m := modesOf(t, master); m.Lflag&unix.ECHO != 0 {
		t.Error("the terminal is not raw while the guest runs")
	}
	master.WriteString("some keys\x01")
	master.WriteString("x")
	wants(t, "terminal", ends(t, cmd, master, lines, before, vmm.StatusStopped), "stopped: Ctrl-A x\r\n")
}

func TestTerminalHelpAndKeys(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "echo")
	master.WriteString("\x01h")
	for want := range strings.Lines("\n" + "Ctrl-A x       end the guest and leave\n") {
		if got, err := lines.ReadString('\n'); err != nil || got != strings.TrimSuffix(want, "\n")+"\r\n" {
			t.Errorf("help has %q, %v; want %q", got, err, want)
		}
	}
	master.WriteString("a\x03\x01\x01b\n")
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatalf("%q, %v; want the echo", line, err)
		}
		if line == "a\x03\x01b\n" { // raw: no carriage return, no signal
			break
		}
	}
	master.WriteString("\x01x")
	ends(t, cmd, master, lines, before, vmm.StatusStopped)
}

func TestTerminalSignals(t *testing.T) {
	for _, s := range []syscall.Signal{unix.SIGTERM, unix.SIGHUP} {
		cmd, master, lines, before := onTerminal(t, "hangs")
		cmd.Process.Signal(s)
		ends(t, cmd, master, lines, before, vmm.StatusStopped)
	}
	cmd, master, lines, before := onTerminal(t, "stuck")
	cmd.Process.Signal(unix.SIGKILL)
	ends(t, cmd, master, lines, before, -1)
}

func TestTerminalPanic(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "panics")
	const goPanicStatus = 2
	wants(t, "terminal", ends(t, cmd, master, lines, before, goPanicStatus), "a test of a panic")
}

func TestTerminalTakenAgainAfterStop(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "echo")
	raw := modesOf(t, master)
	if err := unix.IoctlSetTermios(int(master.Fd()), unix.TCSETS, &before); err != nil {
		t.Fatal(err)
	}
	cmd.Process.Signal(unix.SIGCONT) // as a shell's fg does
	for modesOf(t, master) != raw {  // until it has acted
	}
	master.WriteString("\x01x")
	ends(t, cmd, master, lines, before, vmm.StatusStopped)
}

func TestTerminalReachesTheMachine(t *testing.T) {
	cmd, master, lines, before := onTerminal(t, "config")
	wants(t, "configuration", ends(t, cmd, master, lines, before, 0), `"columns":120`, `"rows":40`, `"terminal":true`)
}

func TestTerminalWithOutputToFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "out")
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := pty.Setsize(master, &pty.Winsize{Cols: 120, Rows: 40}); err != nil {
		t.Fatal(err)
	}
	config := program(t, "config", "boot", "--kernel", kernelFile(t))
	config.Stdin = tty
	wants(t, "configuration", run(t, config).stdout, `"columns":120`, `"rows":40`, `"terminal":true`)

	cmd := program(t, "hangs", "boot", "--kernel", kernelFile(t), "--console-output", file)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	tty.Close()
	// What is typed before the terminal is raw may be thrown away.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if text, err := os.ReadFile(file); err == nil && string(text) == announcement {
			break
		}
	}
	master.WriteString("\x01x")
	var screen bytes.Buffer
	io.Copy(&screen, master)
	cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != vmm.StatusStopped {
		t.Errorf("status %d, want %d; the terminal shows %q", got, vmm.StatusStopped, &screen)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != announcement {
		t.Errorf("the file has %q, %v", text, err)
	}
}
