package experiment

import (
	"bufio"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// denyFilter lets all calls of x86-64 pass but one, which fails.
func denyFilter(number uint32) []bpf.Instruction {
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: dataArch, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.AUDIT_ARCH_X86_64, SkipTrue: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_KILL_PROCESS},
		bpf.LoadAbsolute{Off: dataNumber, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: number, SkipFalse: 1},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW},
	}
}

func assemble(t *testing.T, instructions []bpf.Instruction) []bpf.RawInstruction {
	t.Helper()
	raw, err := bpf.Assemble(instructions)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

func TestForbiddenCalls(t *testing.T) {
	deny := func(number uint32) filter {
		f, err := newFilter(assemble(t, denyFilter(number)))
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, tt := range []struct {
		filters []filter
		want    []uint32
	}{
		{nil, nil},
		{[]filter{deny(unix.SYS_MOUNT)}, []uint32{unix.SYS_MOUNT}},
		{[]filter{deny(unix.SYS_MOUNT), deny(unix.SYS_PTRACE), deny(unix.SYS_MOUNT)}, []uint32{unix.SYS_PTRACE, unix.SYS_MOUNT}},
		{[]filter{deny(400)}, nil}, // no call has this number
	} {
		got, err := forbiddenCalls(tt.filters)
		if err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%d filters forbid %v, %v, want %v", len(tt.filters), got, err, tt.want)
		}
	}
}

func TestCallNumbers(t *testing.T) {
	all := slices.Collect(callNumbers)
	if len(all) != 362 || all[334] != unix.SYS_RSEQ || all[335] != unix.SYS_PIDFD_SEND_SIGNAL || all[361] != unix.SYS_SET_MEMPOLICY_HOME_NODE {
		t.Errorf("there are %d calls: %v", len(all), all)
	}
}

func TestCallNames(t *testing.T) {
	if got := callNames([]uint32{unix.SYS_PTRACE, unix.SYS_MOUNT, 440, 9999}); got != "9999 mount process_madvise ptrace" {
		t.Errorf("the names are %q", got)
	}
}

func TestBadFilter(t *testing.T) {
	for _, raw := range [][]bpf.RawInstruction{nil, {{Op: 0xffff}}, {{Op: 0x20}}} {
		if _, err := newFilter(raw); err == nil {
			t.Errorf("%v is a filter", raw)
		}
	}
}

const filteredChild = "EXPERIMENT_FILTERED_CHILD"

// TestForbiddenTo: the filter of a process is read, and the process goes on.
func TestForbiddenTo(t *testing.T) {
	if os.Getenv(filteredChild) != "" {
		beFiltered(t)
		return
	}
	// The shell is between, as the precondition wants it.
	cmd := exec.Command("/bin/sh", "-c", `"$0" -test.run='^TestForbiddenTo$'; exit $?`, os.Args[0])
	cmd.Env = append(os.Environ(), filteredChild+"=1")
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
	lines := bufio.NewReader(stdout)
	line, err := lines.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if reason, skipped := strings.CutPrefix(line, "SKIP "); skipped {
		t.Skip(reason)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	forbidden, err := forbiddenTo(pid)
	if os.Geteuid() != 0 && err != nil {
		t.Skip("needs root: ", err)
	}
	if err != nil || !slices.Equal(forbidden, []uint32{unix.SYS_MOUNT}) {
		t.Errorf("forbidden is %v, %v, want mount", forbidden, err)
	}
	stdin.Close()
	if _, err := lines.ReadString(0); err == nil {
		t.Error("the process does not end")
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after its filter was read the process fails: %v", err)
	}
}

// beFiltered forbids itself mount(2), says its number, and waits for the end of its input.
func beFiltered(t *testing.T) {
	if err := setFilter(assemble(t, denyFilter(unix.SYS_MOUNT))); err != nil {
		_, _ = os.Stdout.WriteString("SKIP " + err.Error() + "\n")
		return
	}
	_, _ = os.Stdout.WriteString(strconv.Itoa(os.Getpid()) + "\n")
	_, _ = os.Stdin.Read(make([]byte, 1))
}
