package experiment

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"microvm/cmd/vmm/internal/compare"
	"microvm/guestinit/payload/protocol"
)

// Kernel finds out on which kernel the payload runs in each arm, and how many
// kernels there are when all arms run at the same time.
var Kernel = &Experiment{
	Name:  "kernel",
	About: "which kernel the payload runs on in each arm, and how many run at once",
	Run:   kernel,
}

// The metrics of Kernel. Texts and counts are what the payload itself sees.
const (
	KernelRelease   = protocol.Release   // text: uname -r
	KernelVersion   = protocol.Version   // text: uname -v, of which two kernels of one release differ
	KernelHostName  = protocol.HostName  // text: uname -n
	KernelPID       = protocol.PID       // 1: the payload's number
	KernelProcesses = protocol.Processes // 1: processes in /proc; absent where there is no /proc
	// KernelsAtOnce counts the different kernels, by release and version, on
	// which payloads of KernelArms ran at the same time. A text of the same name
	// says which.
	KernelsAtOnce = "kernels-at-once"
)

// KernelArms is the arm that samples of all arms together bear.
const KernelArms = "all"

var (
	kernelTexts  = []string{KernelRelease, KernelVersion, KernelHostName}
	kernelCounts = []string{KernelPID, KernelProcesses}
)

func kernel(ctx context.Context, s *Session) error {
	for i, a := range s.Arms {
		s.Progress(i, len(s.Arms)+1)
		if s.Done(a.Name(), KernelRelease, 0) > 0 {
			continue
		}
		if err := s.identity(ctx, a); err != nil {
			return err
		}
	}
	if slices.ContainsFunc(s.Recorded(), func(r compare.Sample) bool { return r.Metric == KernelsAtOnce }) {
		return nil
	}
	return s.kernelsAtOnce(ctx)
}

// identity records what the payload says of the kernel.
func (s *Session) identity(ctx context.Context, a PreparedArm) error {
	result, err := s.Complete(ctx, a, []string{program, protocol.ModeIdentity})
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: KernelRelease}, err)
	}
	return s.recordSaid(ctx, a.Name(), result.Output, kernelTexts, kernelCounts)
}

// recordSaid records those of texts and counts that the payload says. The first
// text or else count must be there.
func (s *Session) recordSaid(ctx context.Context, name, output string, texts, counts []string) error {
	said, err := parseOutput(output)
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: name, Metric: slices.Concat(texts, counts)[0]}, err)
	}
	for _, line := range said {
		sample := compare.Sample{Arm: name}
		switch line := line.(type) {
		case *protocol.Text:
			sample.Metric, sample.Text = line.Metric, line.Text
			if !slices.Contains(texts, line.Metric) {
				continue
			}
		case *protocol.Result:
			sample.Metric, sample.Unit, sample.Value = line.Metric, compare.Unit(line.Unit), line.Value
			if !slices.Contains(counts, line.Metric) {
				continue
			}
		default:
			continue
		}
		if err := s.Record(sample); err != nil {
			return err
		}
	}
	return nil
}

// kernelsAtOnce runs an instance of each arm at the same time, as far as the host
// has room for them, and records how many kernels that are.
func (s *Session) kernelsAtOnce(ctx context.Context) error {
	var running []*herd
	err := func() error {
		for _, a := range s.Arms {
			h := &herd{Session: s, arm: a}
			if s.kernelOf(a) == "" || h.mayAdd(room{}) != nil {
				continue
			}
			if _, err := h.add(ctx); err != nil {
				return fmt.Errorf("%s: %w", a.Name(), err)
			}
			running = append(running, h)
		}
		return nil
	}()
	kernels := make(map[string]bool)
	for _, h := range running {
		kernels[s.kernelOf(h.arm)] = true
		err = errors.Join(err, h.dismiss(ctx))
	}
	count := compare.Sample{Arm: KernelArms, Metric: KernelsAtOnce, Unit: compare.Count, Value: float64(len(kernels)), Instances: len(running)}
	if err != nil {
		return s.Failed(ctx, count, err)
	}
	names := compare.Sample{Arm: KernelArms, Metric: KernelsAtOnce, Instances: len(running)}
	names.Text = strings.Join(slices.Sorted(maps.Keys(kernels)), "; ")
	return errors.Join(s.Record(names), s.Record(count))
}

// kernelOf returns the name of an arm's kernel, "" if that is not known.
func (s *Session) kernelOf(a PreparedArm) string {
	var release, version string
	for _, r := range s.Recorded() {
		switch {
		case r.Arm != a.Name():
		case r.Metric == KernelRelease:
			release = r.Text
		case r.Metric == KernelVersion:
			version = r.Text
		}
	}
	return strings.TrimSpace(release + " " + version)
}
