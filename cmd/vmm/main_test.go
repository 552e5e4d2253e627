package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"microvm/vmm"
)

// The test binary is also the program under test: with programVariable set it
// is vmm, and with fakeVariable too, a vmm whose machines are fakes.
const (
	programVariable = "VMM_TEST_AS_PROGRAM"
	fakeVariable    = "VMM_TEST_FAKE_MACHINE"
)

func TestMain(m *testing.M) {
	if os.Getenv(programVariable) == "" {
		hearSignals()
		os.Exit(m.Run())
	}
	a := newApp()
	if kind := os.Getenv(fakeVariable); kind != "" {
		a.newMachine = func(c vmm.Config) (machine, error) { return newFakeMachine(kind, c) }
	}
	os.Exit(a.run(os.Args[1:]))
}

// hearSignals has the programs that tests start hear signals that who runs the tests
// ignores, as nohup(1) does: after exec, what was caught is at its default again.
func hearSignals() {
	for _, s := range []os.Signal{unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
}

// program is vmm with args, its machines fakes of the given kind if that is
// not "", and nothing of the user's own.
func program(t *testing.T, fake string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), programVariable+"=1", fakeVariable+"="+fake, "XDG_CACHE_HOME="+t.TempDir(),
		"GORACE=atexit_sleep_ms=0") // else each program under the race detector waits for a second at its end
	return cmd
}

// A result is what a run of vmm left.
type result struct {
	stdout, stderr string
	status         int // -1 if a signal killed it
}

// run runs cmd to its end.
func run(t *testing.T, cmd *exec.Cmd) result {
	t.Helper()
	return runWhile(t, cmd, func() {})
}

// runWhile runs cmd to its end, and calls meanwhile when it has been started.
func runWhile(t *testing.T, cmd *exec.Cmd, meanwhile func()) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// kernelFile is a file that a fake machine takes for a kernel.
func kernelFile(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kernel")
	if err := os.WriteFile(path, []byte("kernel"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// wants reports what of want is not in text.
func wants(t *testing.T, what, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("%s has no %q:\n%s", what, w, text)
		}
	}
}

func TestUsageErrors(t *testing.T) {
	for _, tt := range []struct {
		args string
		want string
	}{
		{"", "no command given; the commands are boot"},
		{"bot", `no command "bot"; did you mean "boot"?`},
		{"frobnicate", `no command "frobnicate"; there are boot, `},
		{"--frobnicate", "no command"},
		{"help bot", `did you mean "boot"?`},
		{"help boot doctor", `unexpected argument "doctor"`},
		{"boot", "--kernel: no kernel image given"},
		{"boot --memroy 1G", "no flag --memroy; did you mean --memory?"},
		{"boot -k x", "flags have two dashes"},
		{"boot --kernel", "--kernel needs a value"},
		{"boot --kernel=", "--kernel: \"\": the name is empty"},
		{"boot bzImage", "the kernel is given by --kernel"},
		{"boot --kernel x --memory abc", `--memory: "abc": not a size`},
		{"boot --kernel x --memory -1", `--memory: "-1": a size cannot be negative`},
		{"boot --kernel x --memory 0", "--memory: "},
		{"boot --kernel x --memory 1e9", "whole number"},
		{"boot --kernel x --memory 999999999T", "larger than any"},
		{"boot --kernel x --memory 999T", "must be from"},
		{"boot --kernel x --memory 4097K", "4 KiB"},
		{"boot --kernel x --cpus 0", "--cpus: 0; must be from 1"},
		{"boot --kernel x --cpus 10000", "--cpus: 10000; must be from 1"},
		{"boot --kernel x --cpus two", `--cpus: "two": not a whole number`},
		{"boot --kernel x --cpus 99999999999999999999", "far too large"},
		{"boot --kernel x --on-reboot restrat", "did you mean restart?"},
		{"boot --kernel x --kernel-entry elv", "did you mean elf?"},
		{"boot --kernel x --stats=xml", "must be one of table, json"},
		{"boot --kernel x --stats json", `unexpected argument "json"`},
		{"boot --kernel x --trace exits,", "empty word"},
		{"boot --kernel x --console of", "must be one of serial, virtio, off; did you mean off?"},
		{"boot --kernel x --console off --console-input in", "--console-input: there is nothing to read or write with --console off"},
		{"boot --kernel x --console off --console-output out", "--console-output: there is nothing to read or write with --console off"},
		{"boot --kernel x --disk ro", "--disk: \"ro\": path=FILE is missing"},
		{"boot --kernel x --disk a,cache=non", "cache=non: must be one of writeback, none, writethrough, unsafe; did you mean none?"},
		{"boot --kernel x --disk a,engine=iouring", "did you mean io_uring?"},
		{"boot --kernel x --disk a,format=vhd", "format=vhd: must be one of raw, qcow2"},
		{"boot --kernel x --disk a,overlay=here", "overlay=here: must be one of tmp"},
		{"boot --kernel x --disk a,overlay=tmp,ro", "--disk: a: ro and overlay do not go together"},
		{"boot --kernel x --disk a,format=qcow2,engine=io_uring", "--disk: a: engine=io_uring is for raw images"},
		{"boot --kernel x --disk a,id=abcdefghijklmnopqrstu", "has 21 bytes; must have at most 20"},
		{"boot --kernel x --disk a,id=a/\xff", "must be letters, digits and signs of ASCII"},
		{"boot --kernel x --disk a,id=x --disk b,id=x", `--disk: a and b have the same id "x"`},
		{"boot --kernel x --disk a --disk b,id=disk0", `--disk: a and b have the same id "disk0"`},
		{"boot --kernel x --net", "--net needs a value"},
		{"boot --kernel x --net tun", `"tun": the first option: must be one of tap, user`},
		{"boot --kernel x --net user=10.0.2.0", "user=10.0.2.0: has no value"},
		{"boot --kernel x --net user,vhost=on", `no option "vhost"`},
		{"boot --kernel x --net user,mac=2:3", "mac=2:3: must be six bytes such as 02:00:00:12:34:56"},
		{"boot --kernel x --net user,mac=01:00:5e:00:00:01", "--net: mac 01:00:5e:00:00:01 is the address of a group"},
		{"boot --kernel x --net user,mtu=1e3", "mtu=1e3: must be a whole number above 0"},
		{"boot --kernel x --net user,mtu=67", "--net: an mtu of 67; in a user network it must be from 576 to 65520"},
		{"boot --kernel x --net tap,mtu=67", "--net: an mtu of 67; must be from 68 to 65535"},
		{"boot --kernel x --net user,dns=resolver", "dns=resolver: it must be ADDR or ADDR:PORT"},
		{"boot --kernel x --net user,hostfwd=tcp:80-:80", "it must be tcp|udp:[HOSTADDR]:HOSTPORT-[GUESTADDR]:GUESTPORT"},
		{"boot --kernel x --net tap=t,host=10.0.0.1", "host=10.0.0.1: must be an address and the bits of its network"},
		{"boot --kernel x --net tap=t,queues=17", "--net: queues must be from 1 to 16"},
		{"boot --kernel x --net tap=0123456789abcdef", "longer than an interface's can be, which is 15 bytes"},
		{"boot --kernel x --net tap,vhost=yes", "must be one of auto, on, off"},
		{"boot --kernel x --net tap,vhost=on --pcap f", "the monitor does not see the frames that the kernel carries"},
		{"boot --kernel x --net user,pcap=f --net user,pcap=f", "f is given for two interfaces"},
		{"boot --kernel x --pcap f", "--pcap: there are 0 network interfaces, not one"},
		{"boot --kernel x --net user,pcap=f --pcap g", "--pcap: --net says pcap=f; must be given once"},
		{"boot --kernel x --rings round", "must be one of split, packed"},
		{"boot --kernel x --trace everything", "must be one of exits, bus"},
		{"boot --kernel x --trace-file t", "nothing to write without --trace"},
		{"boot --kernel x --no-cache=perhaps", "must be true or false"},
		{`boot --kernel x -- say"hi"`, "double quote"},
		{"boot --kernel x --config none.toml", "none.toml: no such file"},
		{"doctor now", `unexpected argument "now"`},
		{"version 2", `unexpected argument "2"`},
		{"completion", "which shell?"},
		{"completion tcsh", "no completion for"},
		{"initrd", "vmm initrd build"},
		{"initrd biuld", `did you mean "build"?`},
		{"initrd build", "-o init.cpio"},
		{"initrd build -o x --file nothing", "HOST:GUEST"},
		{"initrd build -o x --minimal --commands ls", "--commands: --minimal has none"},
		{"initrd build -o x --commands lx", `there is no command "lx"; did you mean`},
		{"initrd build -o x --modules ext4", "--modules: of which kernel?"},
		{"initrd build -o x --modules-dir=", `--modules-dir: "": the name is empty`},
		{"initrd build -o x --rootfs .", "output file x is in the root directory ., and would be a part of itself"},
		{"initrd build -o x --rootfs=", `--rootfs: "": the name is empty`},
		{"initrd build -o x --kernel-version=", `--kernel-version: "": the name is empty`},
		{"inspect", "which kernel"},
		{"inspect a b", `unexpected argument "b"`},
		{"inspect --josn x", "did you mean --json?"},
		{"cache lits", `did you mean "list"?`},
		{"cache clear now", `unexpected argument "now"`},
		{"cache --cache-dir=", "the name is empty"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			got := run(t, program(t, "poweroff", strings.Fields(tt.args)...))
			if got.status != vmm.StatusUsage || got.stdout != "" {
				t.Errorf("status %d, standard output %q; want %d and nothing", got.status, got.stdout, vmm.StatusUsage)
			}
			wants(t, "standard error", got.stderr, "vmm", tt.want, "Try: vmm help")
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	got := run(t, program(t, "poweroff", "boot", "--memory", "abc", "--cpus", "0", "--on-reboot", "never", "word"))
	wants(t, "standard error", got.stderr, "--kernel:", "--memory:", "--cpus:", "--on-reboot:", `"word"`)
	if n := strings.Count(got.stderr, "--memory"); n != 1 {
		t.Errorf("--memory is named %d times:\n%s", n, got.stderr)
	}
}

func TestHelp(t *testing.T) {
	overview := run(t, program(t, "", "help"))
	for _, c := range commands() {
		wants(t, "overview", overview.stdout, c.name, c.summary)
		long := run(t, program(t, "", c.name, "--help"))
		if help := run(t, program(t, "", "help", c.name)); help != long || help.status != 0 || help.stderr != "" {
			t.Errorf("%s: help and --help differ, or fail: %+v", c.name, help)
		}
		wants(t, "help of "+c.name, long.stdout, "Usage:\n  vmm "+c.name, "Exit status:", "\n  2    ")
		for line := range strings.Lines(long.stdout) {
			if n := len([]rune(strings.TrimSuffix(line, "\n"))); n > helpWidth && !strings.HasPrefix(line, "  vmm ") {
				t.Errorf("%s: a line of %d characters: %s", c.name, n, line)
			}
		}
	}
	for _, args := range [][]string{{"--help"}, {"-h"}} {
		if got := run(t, program(t, "", args...)); got != overview {
			t.Errorf("%v differs from help: %+v", args, got)
		}
	}
	boot := run(t, program(t, "", "help", "boot")).stdout
	wants(t, "help of boot", boot, "What to boot:", "The machine:", "The console:", "(default 512M)", "Ctrl-A x",
		"\n  100  ", "\n  101  ", "\n  102  ", "\n  103  ", "\n  104  ")
}

// TestExamplesParse keeps the examples in the help true.
func TestExamplesParse(t *testing.T) {
	for _, c := range commands() {
		for _, e := range c.examples {
			_, args, ok := strings.Cut(e[0], "vmm "+c.name)
			if !ok {
				t.Errorf("%s: the example %q is of something else", c.name, e[0])
				continue
			}
			args, _, _ = strings.Cut(strings.TrimSuffix(args, ")"), " > ")
			f := newFlags()
			c.setUp(f)
			if _, err := f.parse(strings.Fields(strings.ReplaceAll(args, "$(uname -r)", "6.1.0"))); err != nil || len(f.problems) > 0 {
				t.Errorf("%s: %q: %v %v", c.name, e[0], err, f.problems)
			}
		}
	}
}

func TestVersion(t *testing.T) {
	got := run(t, program(t, "", "version"))
	if got.status != 0 {
		t.Errorf("status %d", got.status)
	}
	wants(t, "version", got.stdout, "vmm ", "go1.", "linux/")
	wants(t, "version in JSON", run(t, program(t, "", "version", "--json")).stdout, `"go": "go1.`, `"platform": "linux/`)
}
