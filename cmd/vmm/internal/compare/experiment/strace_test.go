package experiment

import (
	"reflect"
	"strings"
	"testing"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

func TestReadTrace(t *testing.T) {
	const text = `100<strace> execve("/usr/bin/crun", ["crun", "run"], 0x7ff /* 9 vars */) = 0
100<crun> openat(AT_FDCWD, ""..., O_RDONLY) = 3
100<crun> clone(child_stack=NULL, flags=SIGCHLD) = 101<crun>
101<b (c)> getpid( <unfinished ...>
100<crun> poll([{fd=3}], 1, -1 <unfinished ...>
101<b (c)> <... getpid resumed>)    = 1
101<crun> execve("/payload", ["/payload"], 0x7ff) = 0
101<payload> execve("/payload", 0, 0) = 0
101<b (c)> write(1, "KVM_RUN, "..., 5)  = 5
101<payload> --- SIGURG {si_signo=SIGURG} ---
101<payload> exit_group(0)              = ?
101<payload> +++ exited with 0 +++
100<crun> <... poll resumed>)           = 1
100<crun> ioctl(7, KVM_CREATE_VCPU, 0)  = 8
103<crun> execve("/usr/bin/true", [], 0x7ff <unfinished ...>
105<runc:[2:INIT]> execve("/payload", [], 0x7ff <unfinished ...>
104<runc:[2:INIT]> +++ superseded by execve in pid 105 +++
104<runc:[2:INIT]> <... execve resumed>)  = 0
103<crun> <... execve resumed>) = -1 ENOENT (No such file or directory)
103<crun> close(3)             = 0
104<runc:[2:INIT]> brk(NULL)             = 0x55
106<payload> futex(0xc0, FUTEX_WAIT_PRIVATE, 0, NULL <unfinished ...>
102<vmm> ioctl(8, KVM_RUN, 0 <unfinished ...>
100<crun> read(3, ""..., 4)             = 0
nonsense
`
	got, err := readTrace(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	want := callTrace{
		payload:  callCounts{"execve": 1, "write": 1, "exit_group": 1, "brk": 1, "futex": 1},
		arm:      callCounts{"execve": 4, "openat": 1, "clone": 1, "poll": 1, "ioctl": 1, "getpid": 1, "close": 1},
		guest:    callCounts{"ioctl": 1, "read": 1},
		executed: map[string]struct{}{"/usr/bin/crun": {}, "/usr/bin/true": {}, "/payload": {}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// No text makes reading fail, or counts more calls than there are lines.
func FuzzReadTrace(f *testing.F) {
	f.Add("1<a> read(3, 4) = 5\n2<b> <... read resumed>) = 0\n")
	f.Add("1<payload> execve(\"/p\", 0, 0) = 0\n1<x> ioctl(3, KVM_RUN, 0) = 0\n")
	f.Fuzz(func(t *testing.T, text string) {
		got, err := readTrace(strings.NewReader(text))
		if err != nil {
			return // a line that is too long
		}
		if n, lines := got.payload.total()+got.arm.total()+got.guest.total(), strings.Count(text, "\n")+1; n > lines {
			t.Errorf("%d calls in %d lines", n, lines)
		}
	})
}

func TestCallCountsString(t *testing.T) {
	if got := (callCounts{"write": 2, "read": 10}).String(); got != "read 10 write 2" {
		t.Errorf("calls are written as %q", got)
	}
}

// The calls of a shell are those of the arm, which here has no payload.
func TestTraceOfDaemon(t *testing.T) {
	needStrace(t)
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "engine", Is: arm.Engine, Script: armtest.Begin + armtest.End})
	got, err := s.trace(t.Context(), s.Arms[0])
	if err != nil {
		t.Fatal(err)
	}
	if _, ran := got.executed["/bin/sh"]; !ran || got.arm["write"] < 2 || len(got.payload) != 0 {
		t.Errorf("the trace has %+v, want a shell that writes marks", got)
	}
	execs, err := s.trace(t.Context(), s.Arms[0], traceExecs()...)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(execs.executed, got.executed) || execs.arm["write"] != 0 {
		t.Errorf("the trace of execve has %+v", execs)
	}
	if err := s.recordCalls(t.Context(), s.Arms[0]); err != nil {
		t.Fatal(err)
	}
	if last := n.samples[len(n.samples)-1]; last.Metric != UsedByArm || !strings.Contains(last.Failed, "daemon") {
		t.Errorf("of a payload that is not seen, %+v is recorded", last)
	}
}
