package experiment

import (
	"context"
	"errors"
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
	if slices.ContainsFunc(s.Recorded(), func(r compare.Sample) bool { return r.Metric == KernelsAtOnce }) {
		return nil
	}
	var running []*herd
	var alone []PreparedArm // for which there is no room beside the others
	var err error
	for i, a := range s.Arms {
		s.Progress(i, len(s.Arms)+1)
		h := &herd{Session: s, arm: a, first: protocol.ModeIdentity}
		if h.mayAdd(room{}) != nil {
			alone = append(alone, a)
			continue
		}
		running = append(running, h)
		if err = h.identify(ctx); err != nil {
			break
		}
	}
	kernels := make(map[string]bool)
	instances := 0
	for _, h := range running {
		if name := s.kernelOf(h.arm); name != "" {
			kernels[name] = true
			instances++
		}
		err = errors.Join(err, h.dismiss(ctx))
	}
	count := compare.Sample{Arm: KernelArms, Metric: KernelsAtOnce, Unit: compare.Count, Value: float64(len(kernels)), Instances: instances}
	if err != nil {
		return s.Failed(ctx, count, err)
	}
	for _, a := range alone {
		if err := s.identity(ctx, a); err != nil {
			return err
		}
	}
	names := compare.Sample{Arm: KernelArms, Metric: KernelsAtOnce, Instances: instances}
	names.Text = strings.Join(slices.Sorted(maps.Keys(kernels)), "; ")
	return errors.Join(s.Record(names), s.Record(count))
}

// identify starts an instance, which goes on, and records what it says of the kernel.
func (h *herd) identify(ctx context.Context) error {
	_, err := h.add(ctx)
	var said []protocol.Line
	if err == nil {
		said, err = h.said(ctx, h.all[0])
	}
	return h.recordIdentity(ctx, h.arm, said, err)
}

// identity records what the payload says of the kernel in an instance of its own.
func (s *Session) identity(ctx context.Context, a PreparedArm) error {
	result, err := s.Complete(ctx, a, []string{program, protocol.ModeIdentity})
	var said []protocol.Line
	if err == nil {
		said, err = parseOutput(result.Output)
	}
	return s.recordIdentity(ctx, a, said, err)
}

// recordIdentity records what a payload has said of the kernel, or why it has not.
func (s *Session) recordIdentity(ctx context.Context, a PreparedArm, said []protocol.Line, err error) error {
	if err != nil {
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: KernelRelease}, err)
	}
	if s.Done(a.Name(), KernelRelease, 0) > 0 { // by the run that this one goes on with
		return nil
	}
	return s.recordSaid(a.Name(), said, kernelTexts, kernelCounts)
}

// recordSaid records those of texts and counts that the payload has said.
func (s *Session) recordSaid(name string, said []protocol.Line, texts, counts []string) error {
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
