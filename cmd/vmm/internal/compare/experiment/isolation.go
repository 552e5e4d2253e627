package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/elastic/go-seccomp-bpf/arch"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// Isolation finds out what an arm leaves between the payload and the host's
// kernel: what the payload sees, which of the host's system calls are open to the
// process that serves it, and which are used.
//
// The process that serves the payload is the one that the host's kernel sees:
// the payload itself, or a guest's monitor, which a guest would have to take
// over first.
var Isolation = &Experiment{
	Name:  "isolation",
	About: "what the payload sees, and which system calls of the host's its side may make and does make",
	Run:   isolation,
}

// The metrics of Isolation.
const (
	// What the payload sees: counts.
	SeenFiles      = protocol.Files             // files in the tree of its root, at most protocol.MaxFiles
	SeenDevices    = protocol.Devices           // device files
	SeenBlock      = protocol.BlockDevices      // disks and partitions in /sys
	SeenInterfaces = protocol.NetworkInterfaces // network interfaces in /sys
	SeenMounts     = protocol.Mounts            // mounts

	// What the host's kernel allows the process that serves the payload: counts.
	HostNamespaces   = "host-namespaces"   // namespaces that it shares with vmm, of those in /proc/PID/ns
	HostCapabilities = "host-capabilities" // effective capabilities; none in a user namespace of its own, outside of which they count for nothing
	HostCalls        = "host-calls"        // system calls that no seccomp filter forbids, of callNumbers, with arguments that are all 0
	// HostForbidden is a text: the names of those that are forbidden.
	HostForbidden = "host-calls-forbidden"

	// What was made of the host's system calls by a start of the payload to its
	// end, as eBPF counts it, or strace(1) where that is not permitted: by the
	// payload itself, by the rest of the arm until a guest runs, and by the rest from
	// then on (a guest's monitor only). Each is a count of different ones, a count
	// of all with "-made", and a text with names and counts with "-names".
	UsedByPayload = "used-by-payload"
	UsedByArm     = "used-by-arm"
	UsedForGuest  = "used-for-guest"
	UsedMade      = "-made"
	usedNames     = "-names"
)

var seen = []string{SeenFiles, SeenDevices, SeenBlock, SeenInterfaces, SeenMounts}

func isolation(ctx context.Context, s *Session) error {
	steps := []struct {
		metric string // that it records, at last
		do     func(context.Context, PreparedArm) error
	}{
		{HostNamespaces, s.recordSides},
		{UsedByArm, s.recordCalls},
	}
	for i, a := range s.Arms {
		for n, step := range steps {
			s.Progress(i*len(steps)+n, len(s.Arms)*len(steps))
			if s.Done(a.Name(), step.metric, 0) > 0 {
				continue
			}
			if err := step.do(ctx, a); err != nil {
				return err
			}
		}
	}
	return nil
}

// recordSides records of one instance what the payload sees, and what the host's
// kernel allows the process that serves it.
func (s *Session) recordSides(ctx context.Context, a PreparedArm) error {
	// The shell is a parent between this process and the one that is traced.
	a.Prepared = wrapped{a.Prepared, []string{"/bin/sh", "-c", `"$@"; exit $?`, "sh"}}
	h := &herd{Session: s, arm: a, first: protocol.ModeReach}
	_, err := h.add(ctx)
	var said []protocol.Line
	if err == nil {
		said, err = h.said(ctx, h.all[0])
	}
	var samples []compare.Sample
	if err == nil {
		samples, err = inspectServer(h.all[0], a.Kind())
	}
	if err = errors.Join(err, h.dismiss(ctx)); said == nil {
		return errors.Join(
			s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: SeenFiles, Unit: compare.Count}, err),
			s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: HostNamespaces, Unit: compare.Count}, err))
	}
	if err := s.recordSaid(a.Name(), said, nil, seen); err != nil {
		return err
	}
	for i := range samples {
		samples[i].Arm = a.Name()
		err = errors.Join(err, s.Record(samples[i]))
	}
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: HostNamespaces, Unit: compare.Count}, err)
	}
	return nil
}

// inspectServer returns samples of the process that serves an instance's payload.
func inspectServer(i *arm.Instance, kind arm.Kind) ([]compare.Sample, error) {
	pid, err := serverOf(i, kind)
	if err != nil {
		return nil, err
	}
	capabilities, err := effectiveCapabilities(pid)
	if err != nil {
		return nil, err
	}
	forbidden, err := forbiddenTo(pid)
	if err != nil {
		return nil, err
	}
	all := 0
	for range callNumbers {
		all++
	}
	shared, err := sharedNamespaces(pid)
	if err != nil {
		return nil, err
	}
	count := func(metric string, n int) compare.Sample {
		return compare.Sample{Metric: metric, Unit: compare.Count, Value: float64(n)}
	}
	return []compare.Sample{
		count(HostCapabilities, capabilities),
		count(HostCalls, all-len(forbidden)),
		{Metric: HostForbidden, Text: callNames(forbidden)},
		count(HostNamespaces, shared),
	}, nil
}

// serverOf returns the process that the host's kernel sees in the payload's place:
// the payload, or the monitor, which is the only child of the shell that was
// started.
func serverOf(i *arm.Instance, kind arm.Kind) (int, error) {
	for _, pid := range i.Processes() {
		// The process may have ended, and then is not the one.
		command, _ := os.ReadFile(procFile(pid, "comm"))
		status, _ := os.ReadFile(procFile(pid, "status"))
		if kind == arm.VM && strings.Contains(string(status), fmt.Sprintf("\nPPid:\t%d\n", i.PID())) ||
			kind != arm.VM && strings.TrimSpace(string(command)) == filepath.Base(program) {
			return pid, nil
		}
	}
	return 0, errors.New("no process of this host is the payload or its monitor")
}

func procFile(pid int, name string) string {
	return filepath.Join("/proc", strconv.Itoa(pid), name)
}

// effectiveCapabilities returns how many capabilities a process has in the user
// namespace of this one.
func effectiveCapabilities(pid int) (int, error) {
	if ours, err := sameNamespace(pid, "user"); err != nil || !ours {
		return 0, err
	}
	status, err := os.ReadFile(procFile(pid, "status"))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "\nCapEff:\t")
	value, _, _ := strings.Cut(after, "\n")
	set, err := strconv.ParseUint(value, 16, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: CapEff: %w", procFile(pid, "status"), err)
	}
	return bits.OnesCount64(set), nil
}

// sharedNamespaces returns in how many namespaces a process is together with this one.
func sharedNamespaces(pid int) (shared int, err error) {
	entries, err := os.ReadDir("/proc/self/ns")
	if err != nil {
		return 0, err
	}
	for _, e := range entries {
		same, err := sameNamespace(pid, e.Name())
		if err != nil {
			return 0, err
		}
		if same {
			shared++
		}
	}
	return shared, nil
}

// sameNamespace reports whether a process has the same namespace of a kind as this one.
func sameNamespace(pid int, kind string) (bool, error) {
	ours, err := os.Readlink(filepath.Join("/proc/self/ns", kind))
	if err != nil {
		return false, err
	}
	theirs, err := os.Readlink(procFile(pid, filepath.Join("ns", kind)))
	return ours == theirs, err
}

// callNames returns the names of system calls.
func callNames(numbers []uint32) string {
	names := make([]string, 0, len(numbers))
	for _, n := range numbers {
		names = append(names, callName(n))
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// callName returns the name of a system call, or its number if it has none here.
func callName(number uint32) string {
	if name, ok := arch.X86_64.SyscallNumbers[int(number)]; ok {
		return name
	}
	return strconv.Itoa(int(number))
}

// recordCalls records which system calls are made for a payload that does nothing.
func (s *Session) recordCalls(ctx context.Context, a PreparedArm) error {
	calls, err := s.count(ctx, a)
	if err == nil && a.Kind() != arm.VM && len(calls.payload) == 0 {
		err = errElsewhere
	}
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: UsedByArm, Unit: compare.Count}, err)
	}
	for _, side := range []struct {
		metric string
		counts callCounts
	}{{UsedByPayload, calls.payload}, {UsedForGuest, calls.guest}, {UsedByArm, calls.arm}} {
		sample := compare.Sample{Arm: a.Name(), Unit: compare.Count}
		made, names, different := sample, sample, sample
		made.Metric, made.Value = side.metric+UsedMade, float64(side.counts.total())
		names.Metric, names.Unit, names.Text = side.metric+usedNames, "", side.counts.String()
		different.Metric, different.Value = side.metric, float64(len(side.counts))
		if err := errors.Join(s.Record(made), s.Record(names), s.Record(different)); err != nil {
			return err
		}
	}
	return nil
}

// count runs a payload that does nothing in an arm, to its end, and counts system calls.
func (s *Session) count(ctx context.Context, a PreparedArm) (callTrace, error) {
	counter, err := newCallCounter()
	if err != nil {
		return s.trace(ctx, a)
	}
	_, err = s.Complete(ctx, a, []string{program, protocol.ModeStart})
	t, callsErr := counter.calls()
	err = errors.Join(err, callsErr, counter.Close())
	if err == nil && t.payload.total()+t.arm.total()+t.guest.total() == 0 {
		return s.trace(ctx, a) // in a PID namespace of its own this process has another number for eBPF
	}
	return t, err
}

// String returns names and counts, by name.
func (c callCounts) String() string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(c)) {
		words = append(words, name, strconv.Itoa(c[name]))
	}
	return strings.Join(words, " ")
}
