package main

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"

	"microvm/cmd/kvmhost/internal/kernel"
	"microvm/cmd/kvmhost/internal/qemu"
)

// The tests in this file run kvmhost and through it a throw-away host. The
// test binary is kvmhost too, and, on the throw-away host, the command that
// looks around there.

// asKVMHost and asProbe are set in the environment of a test binary that is
// to be one or the other.
const (
	asKVMHost = "KVMHOST_TEST_MAIN"
	asProbe   = "KVMHOST_TEST_PROBE"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getpid() == 1 || os.Getenv(asKVMHost) != "":
		os.Unsetenv(asKVMHost)
		main()
	case os.Getenv(asProbe) != "":
		if err := probeKVM(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// hostKernel names a directory with a kernel for the throw-away host, vmlinuz,
// and its modules, for a machine that has none installed.
const hostKernel = "MICROVM_HOST_KERNEL"

// needHost skips the test where no throw-away host can be made.
func needHost(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath(qemu.Program)
	if err == nil && os.Getenv(hostKernel) == "" {
		_, err = kernel.Find("/")
	}
	if err == nil {
		return
	}
	skip(t, fmt.Sprintf("NEEDS A THROW-AWAY HOST: %v", err))
}

// skip skips the test for want of a facility, or fails it if skips are not
// wanted.
func skip(t *testing.T, why string) {
	t.Helper()
	if os.Getenv("MICROVM_NOSKIP") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// patience is how long a test waits for what is about to happen.
const patience = 2 * time.Minute

// kvmhost returns a command that runs args on a throw-away host.
func kvmhost(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	needHost(t)
	flags := []string{"--force-emulated"}
	if dir := os.Getenv(hostKernel); dir != "" {
		flags = append(flags, "--kernel", filepath.Join(dir, "vmlinuz"), "--modules", filepath.Join(dir, "modules"))
	}
	cmd := exec.Command(self(t), append(flags, args...)...)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), asKVMHost+"=1")
	return cmd
}

// self returns the file of the test binary.
func self(t *testing.T) string {
	t.Helper()
	file, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// exitStatus returns a command's exit status from its Run's or Wait's error.
func exitStatus(t *testing.T, err error) int {
	t.Helper()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if exit == nil {
		return 0
	}
	return exit.ExitCode()
}

func TestStreamsAndStatus(t *testing.T) {
	random := make([]byte, 1<<20)
	rand.Read(random)
	cmd := kvmhost(t, "sh", "-c", "cat; cat data >&2; exit 7")
	if err := os.WriteFile(filepath.Join(cmd.Dir, "data"), random[:1<<19], 0o644); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(random), &stdout, &stderr
	if status := exitStatus(t, cmd.Run()); status != 7 {
		t.Errorf("exit status %d, want 7", status)
	}
	if !bytes.Equal(stdout.Bytes(), random) {
		t.Errorf("%d bytes came through standard input and output, not the %d that went in", stdout.Len(), len(random))
	}
	if !bytes.Equal(stderr.Bytes(), random[:1<<19]) {
		t.Errorf("%d bytes came through standard error, not the %d that went in", stderr.Len(), 1<<19)
	}
}

func TestSurroundings(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("before"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := kvmhost(t, "sh", "-c", `
		echo "$ODD_VARIABLE"; pwd; id -u; umask; cat "$OUTSIDE"
		echo inside > result; echo inside > "$OUTSIDE"; cat "$OUTSIDE"
		cat /sys/class/net/lo/operstate /proc/sys/kernel/hostname
		find /sys/fs/cgroup -maxdepth 1 -name cgroup.procs; (sleep 1000 &)
		kill -TERM $$`)
	cmd.Env = append(cmd.Env, "ODD_VARIABLE= a=b\t\xff", "OUTSIDE="+outside)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if status := exitStatus(t, err); status != 128+15 {
		t.Errorf("exit status %d, want %d", status, 128+15)
	}
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	umask := unix.Umask(0)
	unix.Umask(umask)
	want := fmt.Sprintf(" a=b\t\xff\n%s\n%d\n%04o\nbeforeinside\nunknown\n%s\n/sys/fs/cgroup/cgroup.procs\n",
		cmd.Dir, os.Getuid(), umask, hostname)
	if string(out) != want {
		t.Errorf("the command saw\n%q, want\n%q", out, want)
	}
	if got, err := os.ReadFile(filepath.Join(cmd.Dir, "result")); string(got) != "inside\n" {
		t.Errorf("the result in the shared directory is %q, %v", got, err)
	}
	if got, _ := os.ReadFile(outside); string(got) != "before" {
		t.Errorf("a file outside of the shared directory became %q", got)
	}
}

func TestCommandThatCannotRun(t *testing.T) {
	for _, test := range []struct {
		command string
		status  int
	}{{"/etc/passwd", 126}, {"no-such-command", 127}} {
		cmd := kvmhost(t, test.command)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		status := exitStatus(t, cmd.Run())
		if status != test.status || !strings.HasPrefix(stderr.String(), "kvmhost: "+test.command+": ") {
			t.Errorf("%s: exit status %d, want %d; %s", test.command, status, test.status, &stderr)
		}
	}
}

func TestHostThatDies(t *testing.T) {
	cmd := kvmhost(t, "sh", "-c", "echo out; echo c > /proc/sysrq-trigger; sleep 1000")
	if os.Getuid() != 0 {
		skip(t, "NEEDS ROOT: to crash the throw-away host")
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if status := exitStatus(t, cmd.Run()); status != 125 {
		t.Errorf("exit status %d, want 125", status)
	}
	for _, want := range []string{errHostGone.Error(), "sysrq triggered crash"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("standard error does not say %q:\n%s", want, &stderr)
		}
	}
}

func TestOnlyTheCommandWrites(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	cmd := kvmhost(t, "--kernel-log", log, "true")
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v, output %q; want none", err, out)
	}
	if text, err := os.ReadFile(log); !bytes.Contains(text, []byte("Linux version")) {
		t.Errorf("the log is %q, %v", text, err)
	}
}

func TestVerbose(t *testing.T) {
	cmd := kvmhost(t, "-v", "true")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stdout.Len() > 0 {
		t.Errorf("%v, standard output %q; want none", err, &stdout)
	}
	for _, want := range []string{"kernel decompressed", "modules loaded", "command started"} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("no %q in %q", want, &stderr)
		}
	}
}

func TestClosedOutputReachesTheCommand(t *testing.T) {
	cmd := kvmhost(t, "sh", "-c", `(yes; echo $? >&2) 2>result.tmp; mv result.tmp result`)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	if _, err := io.ReadFull(stdout, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	stdout.Close()
	exitStatus(t, cmd.Wait())
	got, err := os.ReadFile(filepath.Join(cmd.Dir, "result"))
	if want := fmt.Sprintln(128 + int(unix.SIGPIPE)); !strings.HasSuffix(string(got), want) {
		t.Errorf("the writer's status is %q, %v; want %q", got, err, want)
	}
}

// What the command wrote arrives whole although it is read long after the
// command's end.
func TestSlowReader(t *testing.T) {
	random := make([]byte, 1<<20)
	rand.Read(random)
	cmd := kvmhost(t, "cat", "data")
	if err := os.WriteFile(filepath.Join(cmd.Dir, "data"), random, 0o644); err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, cmd)
	var read bytes.Buffer
	for err == nil {
		time.Sleep(10 * time.Millisecond)
		_, err = io.CopyN(&read, stdout, 8<<10)
	}
	if status := exitStatus(t, cmd.Wait()); status != 0 || !bytes.Equal(read.Bytes(), random) {
		t.Errorf("exit status %d and %d bytes, not 0 and the %d of the file", status, read.Len(), len(random))
	}
}

func TestDirect(t *testing.T) {
	cmd := exec.Command(self(t), "--direct", "sh", "-c", "cat; exit 4")
	cmd.Env = append(os.Environ(), asKVMHost+"=1")
	cmd.Stdin = strings.NewReader("here")
	out, err := cmd.Output()
	if status := exitStatus(t, err); status != 4 || string(out) != "here" {
		t.Errorf("exit status %d, output %q; want 4, %q", status, out, "here")
	}
}

// start starts cmd, and kills it when the test ends before it does.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}

// childOf waits for the first child of the process pid.
func childOf(t *testing.T, pid int) (child int) {
	t.Helper()
	eventually(t, "QEMU starts", func() bool {
		lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
		for _, list := range lists {
			text, _ := os.ReadFile(list)
			if fields := strings.Fields(string(text)); len(fields) > 0 {
				child, _ = strconv.Atoi(fields[0])
			}
		}
		return child != 0
	})
	return child
}

// isGone says whether a process has ended. One whose parent has not asked for
// its status has.
func isGone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || strings.Contains(string(stat), ") Z ")
}

func TestSignals(t *testing.T) {
	for _, test := range []struct {
		name     string
		signal   syscall.Signal
		early    bool // before the command runs
		status   int  // -1: kvmhost itself was killed by it
		expected string
	}{
		{"forwarded", unix.SIGTERM, false, 42, "ready\ncaught\n"},
		{"before the command", unix.SIGINT, true, 128 + 2, ""},
		{"SIGKILL", unix.SIGKILL, false, -1, "ready\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			cmd := kvmhost(t, "sh", "-c", "trap 'echo caught; exit 42' TERM; echo ready; while :; do sleep 0.1; done")
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			start(t, cmd)
			emulator := childOf(t, cmd.Process.Pid)
			var got []byte
			if !test.early {
				got = make([]byte, len("ready\n"))
				if _, err := io.ReadFull(stdout, got); err != nil {
					t.Fatal(err)
				}
			}
			if err := cmd.Process.Signal(test.signal); err != nil {
				t.Fatal(err)
			}
			rest, err := io.ReadAll(stdout)
			if err != nil {
				t.Fatal(err)
			}
			if status := exitStatus(t, cmd.Wait()); status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			if got = append(got, rest...); string(got) != test.expected {
				t.Errorf("output %q, want %q", got, test.expected)
			}
			eventually(t, "QEMU ends", func() bool { return isGone(emulator) })
		})
	}
}

func TestTerminal(t *testing.T) {
	cmd := kvmhost(t, "sh", "-c", "stty size; stty -echo; echo ready; read line; echo \"<$line>\"; stty size; cat; exit 5")
	console, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer console.Close()
	defer tty.Close()
	setSize := func(rows, columns uint16) {
		t.Helper()
		if err := pty.Setsize(console, &pty.Winsize{Rows: rows, Cols: columns}); err != nil {
			t.Fatal(err)
		}
	}
	setSize(40, 101)
	before, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = tty, tty, tty
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	start(t, cmd)
	expect := func(want string) {
		t.Helper()
		got := make([]byte, len(want))
		if n, err := io.ReadFull(console, got); string(got) != want {
			t.Fatalf("the terminal shows %q, %v; want %q", got[:n], err, want)
		}
	}
	expect("40 101\r\nready\r\n")
	setSize(33, 77)
	io.WriteString(console, "wrong\x15right\n") // 0x15 is ^U, which clears the line
	expect("<right>\r\n33 77\r\n")
	io.WriteString(console, "end\n\x04")
	expect("end\r\n")
	if status := exitStatus(t, cmd.Wait()); status != 5 {
		t.Errorf("exit status %d, want 5", status)
	}
	after, err := unix.IoctlGetTermios(int(tty.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	if *after != *before {
		t.Errorf("the terminal's mode was %+v and is now %+v", *before, *after)
	}
}

func TestTwoHostsAtOnce(t *testing.T) {
	dir := t.TempDir()
	var cmds []*exec.Cmd
	for i := range 2 {
		cmd := kvmhost(t, "sh", "-c", fmt.Sprintf("echo %d > %d", i, i))
		cmd.Dir = dir
		start(t, cmd)
		cmds = append(cmds, cmd)
	}
	for i, cmd := range cmds {
		if status := exitStatus(t, cmd.Wait()); status != 0 {
			t.Errorf("host %d: exit status %d", i, status)
		}
		got, err := os.ReadFile(filepath.Join(dir, strconv.Itoa(i)))
		if string(got) != fmt.Sprintln(i) {
			t.Errorf("host %d wrote %q, %v", i, got, err)
		}
	}
}

func TestKVM(t *testing.T) {
	cmd := kvmhost(t, self(t))
	cmd.Env = append(cmd.Env, asProbe+"=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// The requests of kvm-api that make a machine.
const (
	kvmGetAPIVersion = 0xAE00
	kvmCreateVM      = 0xAE01
	kvmCreateIRQChip = 0xAE60
	kvmCreateVCPU    = 0xAE41
)

// probeKVM is what runs on the throw-away host: it finds KVM real and makes a
// machine with it.
func probeKVM() error {
	if err := realKVM(); err != nil {
		return err
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer kvm.Close()
	version, err := unix.IoctlRetInt(int(kvm.Fd()), kvmGetAPIVersion)
	if err != nil || version != 12 {
		return fmt.Errorf("KVM_GET_API_VERSION is %d, %v; want 12", version, err)
	}
	vm, err := unix.IoctlRetInt(int(kvm.Fd()), kvmCreateVM)
	if err != nil {
		return fmt.Errorf("KVM_CREATE_VM: %w", err)
	}
	if _, err := unix.IoctlRetInt(vm, kvmCreateIRQChip); err != nil {
		return fmt.Errorf("KVM_CREATE_IRQCHIP: %w", err)
	}
	if _, err := unix.IoctlRetInt(vm, kvmCreateVCPU); err != nil {
		return fmt.Errorf("KVM_CREATE_VCPU: %w", err)
	}
	return nil
}
