package experiment

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/guestinit/payload/protocol"
)

// Request measures what the payload asks of a kernel: of the guest's alone, or of
// the host's, by way of the guest's kernel and the monitor or without.
var Request = &Experiment{
	Name:  "request",
	About: "speed of system calls, page faults, 4 KiB reads and network messages in each arm",
	Run:   request,
}

// The metrics of Request. Each rate is of one thread that does one thing after the
// other, so that its inverse is the time that one takes.
const (
	RequestSystemCall     = protocol.SystemCall     // 1/s: getppid(2)
	RequestFirstPageFault = protocol.FirstPageFault // 1/s: of memory that this process has not had; in a guest, nor perhaps the guest
	RequestPageFault      = protocol.PageFault      // 1/s: of memory that was given back and is taken again
	RequestRead           = protocol.Read           // 1/s: 4 KiB at random places of a file of the host's
	RequestRoundTrip      = protocol.RoundTrip      // 1/s: 64 bytes by TCP to a server on the host and back
	RequestStreamTo       = protocol.StreamedTo     // B/s: by TCP to the host
	RequestStreamFrom     = protocol.StreamedFrom   // B/s: by TCP from the host
	// RequestReadBy and RequestNetworkBy are texts that say what carried the
	// reads and the network's bytes, such as "virtio-blk" and "tap". Values of
	// arms with different ones are what their users have, not the same path.
	RequestReadBy    = "read-by"
	RequestNetworkBy = "network-by"
)

func request(ctx context.Context, s *Session) (err error) {
	file := filepath.Join(s.Dir, "request-data")
	if err := writeRandom(file); err != nil {
		return err
	}
	defer os.Remove(file)
	hosts := make(peers)
	defer func() { err = errors.Join(err, hosts.close()) }()
	needs := []need{fileNeed(file), networkNeed(hosts)}
	var jobs []job
	for _, a := range s.Arms {
		j, err := s.requestJob(ctx, a, needs)
		if err != nil {
			return err
		}
		jobs = append(jobs, j)
	}
	return s.rounds(ctx, jobs)
}

// kernelModes need nothing but a kernel.
var kernelModes = []mode{
	{[]string{protocol.ModeSyscalls}, []metric{{RequestSystemCall, compare.PerSecond}}},
	{[]string{protocol.ModeFaults}, []metric{{RequestFirstPageFault, compare.PerSecond}, {RequestPageFault, compare.PerSecond}}},
}

// A need is what an instance must be given for some modes.
type need struct {
	arm.Extras
	// modes returns them, for an instance that has it, and what carries them.
	modes func(ctx context.Context, x arm.Access) (modes []mode, by string, err error)
	by    string   // the metric of what carries them
	says  []metric // of the modes
}

// requestJob returns the job of an arm: all modes for which it has what they need.
// For the others it records why not.
func (s *Session) requestJob(ctx context.Context, a PreparedArm, needs []need) (job, error) {
	j := job{a, slices.Clone(kernelModes)}
	for _, n := range needs {
		by, cannot := j.equip(ctx, n)
		if s.Done(a.Name(), n.by, 0) > 0 {
			continue
		}
		if err := s.recordNeed(ctx, a.Name(), n, by, cannot); err != nil {
			return job{}, err
		}
	}
	return j, nil
}

// recordNeed records what carries the requests of an arm, or why there are none.
func (s *Session) recordNeed(ctx context.Context, name string, n need, by string, cannot error) error {
	if cannot == nil {
		return s.Record(compare.Sample{Arm: name, Metric: n.by, Text: by})
	}
	for _, m := range append(n.says, metric{name: n.by}) {
		sample := compare.Sample{Arm: name, Metric: m.name, Unit: m.unit}
		if err := s.Failed(ctx, sample, cannot); err != nil {
			return err
		}
	}
	return nil
}

// equip gives the job's arm what is needed, and adds the modes that need it.
func (j *job) equip(ctx context.Context, n need) (by string, err error) {
	e, ok := j.arm.Prepared.(arm.Equipper)
	if !ok {
		return "", errors.New("this arm's instances cannot be given it")
	}
	equipped, x, err := e.Equip(n.Extras)
	if err != nil {
		return "", err
	}
	modes, by, err := n.modes(ctx, x)
	if err != nil {
		return "", err
	}
	j.arm.Prepared = equipped
	j.modes = append(j.modes, modes...)
	return by, nil
}

// fileNeed is a file of the host's to read.
func fileNeed(file string) need {
	says := []metric{{RequestRead, compare.PerSecond}}
	return need{
		Extras: arm.Extras{File: file},
		modes: func(_ context.Context, x arm.Access) ([]mode, string, error) {
			return []mode{{[]string{protocol.ModeRead, x.File}, says}}, x.FileAs, nil
		},
		by:   RequestReadBy,
		says: says,
	}
}

// networkNeed is a network in which the host has servers.
func networkNeed(hosts peers) need {
	roundTrip := []metric{{RequestRoundTrip, compare.PerSecond}}
	to, from := []metric{{RequestStreamTo, compare.BytesPerSecond}}, []metric{{RequestStreamFrom, compare.BytesPerSecond}}
	return need{
		Extras: arm.Extras{Network: true},
		modes: func(ctx context.Context, x arm.Access) (modes []mode, by string, err error) {
			p, err := hosts.at(ctx, x.Listen)
			if err != nil {
				return nil, "", err
			}
			if x.Address != "" {
				modes = append(modes, mode{argv: []string{protocol.ModeAddress, x.Address}})
			}
			at := func(service int) string { return x.Host + ":" + p.port(service) }
			return append(modes,
				mode{[]string{protocol.ModeRoundTrip, at(echoService)}, roundTrip},
				mode{[]string{protocol.ModeStream, at(sinkService), protocol.StreamTo}, to},
				mode{[]string{protocol.ModeStream, at(sourceService), protocol.StreamFrom}, from},
			), x.Network, nil
		},
		by:   RequestNetworkBy,
		says: slices.Concat(roundTrip, to, from),
	}
}

// requestFileSize is far more than a guest's kernel reads ahead.
const requestFileSize = 32 << 20

// writeRandom makes the file to be read, of bytes that no layer stores as a hole.
func writeRandom(name string) (err error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := io.CopyN(f, rand.NewChaCha8([32]byte{}), requestFileSize); err != nil {
		return err
	}
	return f.Sync() // so that reads past the page cache find it
}
