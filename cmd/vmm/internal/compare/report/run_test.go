package report

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/experiment"
	"microvm/cmd/vmm/internal/compare/session"
	"microvm/cmd/vmm/internal/host"
	"microvm/guestinit/payload/protocol"
)

// A madeUp run has samples of set distributions, and no truth in it.
type madeUp struct {
	run     session.Run
	samples []compare.Sample
	random  *rand.Rand
}

func newMadeUp() *madeUp {
	h := &host.Host{Kernel: "6.1.0-42-amd64", MemoryTotal: 4 << 30, MemoryAvailable: 3 << 30, THP: "madvise",
		CPU:         host.CPU{Model: "QEMU TCG CPU version 2.5+", Count: 1, Virtualization: "SVM", Hypervisor: true},
		Cgroup:      host.Cgroup{Version: 2},
		Modules:     []host.KVM{{Module: "kvm_amd", Paging: "1"}},
		Mitigations: map[string]string{"spectre_v2": "Vulnerable", "meltdown": "Not affected"}}
	return &madeUp{
		random: rand.New(rand.NewPCG(1, 1)),
		run: session.Run{
			Version: session.Version, Started: time.Unix(1_790_000_000, 0), Finished: time.Unix(1_790_000_700, 0),
			Argv: []string{"vmm", "compare", "--quick", "--out", "a b"}, VMM: "test", Effort: experiment.Quick,
			Host: h, Digest: h.Digest(), Payload: []string{"/payload", "start"},
			Experiments: []string{"start", "disk", "memory", "density", "request", "work", "kernel", "isolation", "replication"},
			Arms: []session.Arm{
				{Name: "process", Kind: arm.Process, Summary: "a plain process", Version: "6.1"},
				{Name: "bubblewrap", Kind: arm.Container, Summary: "namespaces", Version: "0.8"},
				{Name: "crun", Kind: arm.Container, Summary: "an OCI runtime in C", Version: "1.8"},
				{Name: "podman", Kind: arm.Engine, Summary: "an engine", Version: "4.3"},
				{Name: "vmm", Kind: arm.VM, Summary: "ours", Version: "1"},
				{Name: "qemu-microvm", Kind: arm.VM, Summary: "QEMU's small machine", Version: "7.2"},
				{Name: "firecracker", Kind: arm.VM, Summary: "a micro-VM monitor", Problem: "firecracker is not in $PATH", Install: "download a release"},
			},
			Inputs: []session.Input{{Name: "payload", Path: "/tmp/payload", Size: 1 << 20, SHA256: "00ff"}},
		},
	}
}

func (m *madeUp) add(s compare.Sample) {
	s.Host, s.When = m.run.Digest, m.run.Started
	m.samples = append(m.samples, s)
}

// spread is a value around a median.
func (m *madeUp) spread(median float64) float64 {
	return median * math.Exp(0.08*m.random.NormFloat64())
}

// everything fills the run with values of each experiment that has a verdict.
func (m *madeUp) everything() *madeUp {
	starts := map[string][]float64{ // s: ready, first entry, kernel, init, payload
		"process": {0, 0, 0, 0, 0.03}, "bubblewrap": {0.07, 0, 0, 0, 0.1}, "crun": {0.28, 0, 0, 0, 0.35}, "podman": {3.2, 0, 0, 0, 3.6},
		"vmm": {0.2, 0.25, 0.26, 3.9, 4.2}, "qemu-microvm": {0.9, 1, 3, 9.1, 9.5},
	}
	stages := []compare.Boundary{compare.Ready, compare.GuestStart, compare.KernelEntry, compare.Init, compare.Payload}
	for round := range 24 {
		for _, cache := range []compare.Cache{compare.Warm, compare.Cold} {
			for _, a := range m.run.Arms {
				for i, to := range stages {
					if starts[a.Name] == nil || starts[a.Name][i] == 0 {
						continue
					}
					v := starts[a.Name][i]
					if cache == compare.Cold {
						v *= 1.5
					}
					if a.Name == "podman" && round%2 == 0 { // waits now and then
						v *= 2
					}
					m.add(compare.Sample{Experiment: "start", Arm: a.Name, Metric: experiment.StartTime, Unit: compare.Seconds,
						From: compare.Spawn, To: to, Cache: cache, Round: round, Value: m.spread(v)})
				}
			}
		}
	}
	m.growing()
	m.rates()
	m.amounts()
	return m
}

// growing adds memory and density: for n instances.
func (m *madeUp) growing() {
	each := map[string]float64{"process": 0.2, "bubblewrap": 1, "crun": 1.4, "podman": 19, "vmm": 47, "qemu-microvm": 120} // MiB
	for _, a := range m.run.Arms {
		if each[a.Name] == 0 {
			continue
		}
		for n := 1; n <= 16; n *= 2 {
			pss := each[a.Name] * float64(n) * (1 << 20)
			m.add(compare.Sample{Experiment: "memory", Arm: a.Name, Metric: experiment.MemoryPSS, Unit: compare.Bytes, Value: pss, Instances: n})
			m.add(compare.Sample{Experiment: "memory", Arm: a.Name, Metric: experiment.MemoryRSS, Unit: compare.Bytes, Value: pss * 1.4, Instances: n})
		}
		for n := 1; n <= 12; n++ {
			m.add(compare.Sample{Experiment: "density", Arm: a.Name, Metric: experiment.DensityTime, Unit: compare.Seconds,
				From: compare.Spawn, To: compare.Payload, Value: m.spread(each[a.Name] / 20), Instances: n})
		}
		m.add(compare.Sample{Experiment: "density", Arm: a.Name, Metric: experiment.DensityStop, Unit: compare.Count, Value: 12, Text: "the limit of 12 instances"})
	}
}

// rates adds what the payload measures inside.
func (m *madeUp) rates() {
	slower := map[string]float64{"process": 1, "bubblewrap": 1, "crun": 1, "podman": 1, "vmm": 3, "qemu-microvm": 4}
	for _, a := range m.run.Arms {
		if slower[a.Name] == 0 {
			continue
		}
		for round := range 8 {
			steady := func(v float64) float64 { return v * (1 + 0.005*m.random.NormFloat64()) }
			add := func(experiment, metric string, unit compare.Unit, v float64) {
				m.add(compare.Sample{Experiment: experiment, Arm: a.Name, Metric: metric, Unit: unit, Round: round, Value: steady(v)})
			}
			add("request", protocol.PageFault, compare.PerSecond, 4e5)
			add("request", protocol.SystemCall, compare.PerSecond, 1e6)
			add("request", protocol.RoundTrip, compare.PerSecond, 3e4/slower[a.Name])
			add("request", protocol.Read, compare.PerSecond, 2e4/slower[a.Name])
			add("work", protocol.CPU, compare.PerSecond, 5e8)
			add("work", protocol.MemoryCopy, compare.BytesPerSecond, 8e9)
		}
		release := m.run.Host.Kernel
		if a.Kind == arm.VM {
			release = "6.1.0-42-cloud-amd64"
		}
		m.add(compare.Sample{Experiment: "kernel", Arm: a.Name, Metric: protocol.Release, Text: release})
	}
}

// amounts adds what is counted once.
func (m *madeUp) amounts() {
	for _, a := range m.run.Arms {
		if a.Problem != "" {
			continue
		}
		factor, copies := 1.0, 1.0
		if a.Kind == arm.VM {
			factor, copies = 8, 4
		}
		add := func(experiment, metric string, unit compare.Unit, v float64, instances int) {
			m.add(compare.Sample{Experiment: experiment, Arm: a.Name, Metric: metric, Unit: unit, Value: v, Instances: instances})
		}
		add("disk", experiment.DiskFiles, compare.Bytes, 2.1e6*factor, 0)
		add("disk", experiment.DiskInstance, compare.Bytes, 0, 0)
		add("isolation", experiment.UsedByPayload, compare.Count, 24-3*factor, 0)
		add("isolation", experiment.UsedForGuest, compare.Count, factor, 0)
		add("isolation", experiment.HostCalls, compare.Count, 362, 0)
		add("isolation", experiment.HostCapabilities, compare.Count, 41, 0)
		add("replication", experiment.ReplicationMapped, compare.Bytes, 9e6*factor, 4)
		add("replication", experiment.ReplicationShared, compare.Bytes, 5e6, 4)
		add("replication", experiment.ReplicationRoot, compare.Bytes, 2e6*copies, 4)
		add("replication", experiment.ReplicationRootOnce, compare.Bytes, 2e6, 4)
	}
	m.add(compare.Sample{Experiment: "disk", Arm: experiment.DistributionArm, Metric: experiment.DiskDistribution, Unit: compare.Bytes, Value: 480e6})
}

// write writes the run to a directory.
func (m *madeUp) write(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := json.Marshal(m.run)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "run.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "samples.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for i := range m.samples {
		if err := compare.WriteSample(f, &m.samples[i]); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// evidence is the run as if it had been read.
func (m *madeUp) evidence() *evidence { return newEvidence("DIR", &m.run, m.samples) }
