package experiment

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/host"
	"microvm/guestinit/payload/protocol"
)

// Memory measures what memory 1, 2, 4 … instances take while their payloads wait.
var Memory = &Experiment{
	Name:  "memory",
	About: "memory of the host that 1, 2, 4 … instances take, and what they share",
	Run:   measureMemory,
}

// The metrics of memory, in bytes, are sums over all processes of all instances:
// monitors, engines' supervisors and payloads. The kernel counts them in
// /proc/PID/smaps_rollup (proc_pid_smaps(5)).
const (
	MemoryVSS = "vss" // address space
	MemoryRSS = "rss" // pages present, a shared one with each that shares it
	MemoryPSS = "pss" // pages present, each of n that share one with its nth part
	MemoryUSS = "uss" // pages present that no other process of the host has: what would be free without these
	// The parts of MemoryPSS: files (the page cache; programs, and kernels that
	// are mapped), anonymous memory (guests' RAM too), and shared memory.
	MemoryPSSFile  = "pss-file"
	MemoryPSSAnon  = "pss-anon"
	MemoryPSSShmem = "pss-shmem"
	// MemoryHost is by how much less the host's kernel calls available than
	// before the instances were started (MemAvailable): with the kernel's own memory
	// for them, without the page cache, which it can take back.
	MemoryHost = "host"
	// MemoryGuestTotal and MemoryGuestUsed are what the kernels of guests say:
	// their MemTotal, and that without MemAvailable.
	MemoryGuestTotal = "guest-total"
	MemoryGuestUsed  = "guest-used"
)

// settleTime is how long instances are left alone before they are measured:
// what a start has begun ends by itself.
const settleTime = 500 * time.Millisecond

func measureMemory(ctx context.Context, s *Session) error {
	counts := powers(s.Effort.Instances)
	return s.herds(ctx, MemoryPSS, counts[len(counts)-1], func(a PreparedArm, round int) error {
		h := &herd{Session: s, arm: a, round: round}
		if a.Kind() == arm.VM {
			h.first = protocol.ModeKernelMemory
		}
		err := h.growAndMeasure(ctx, counts)
		err = errors.Join(err, h.dismiss(ctx))
		if err == nil {
			return nil
		}
		return s.Failed(ctx, compare.Sample{Arm: a.Name(), Metric: MemoryPSS, Unit: compare.Bytes, Instances: counts[len(counts)-1], Round: round}, err)
	})
}

// powers are 1, 2, 4 … and most, which is at least 1.
func powers(most int) []int {
	var counts []int
	for n := 1; n < most; n *= 2 {
		counts = append(counts, n)
	}
	return append(counts, most)
}

// growAndMeasure measures the herd with each number of instances.
func (h *herd) growAndMeasure(ctx context.Context, counts []int) error {
	before, err := readRoom()
	if err != nil {
		return err
	}
	for _, n := range counts {
		for len(h.all) < n {
			if err := h.mayAdd(before); err != nil {
				return fmt.Errorf("no more than %d instances: %w", len(h.all), err)
			}
			if _, err := h.add(ctx); err != nil {
				return err
			}
		}
		if err := sleep(ctx, settleTime); err != nil {
			return err
		}
		if h.Done(h.arm.Name(), MemoryPSS, n) > h.round { // by the run that this one goes on with
			continue
		}
		if err := h.recordMemory(ctx, before); err != nil {
			return err
		}
	}
	return nil
}

// recordMemory records what the instances take now.
func (h *herd) recordMemory(ctx context.Context, before room) error {
	sums, err := sumProcesses(h.processes())
	if err != nil {
		return err
	}
	now, err := readRoom()
	if err != nil {
		return err
	}
	sums[MemoryHost] = float64(before.memory) - float64(now.memory)
	if h.arm.Kind() == arm.VM {
		if err := h.askGuests(ctx, sums); err != nil {
			return err
		}
	}
	for _, metric := range slices.Sorted(maps.Keys(sums)) {
		err := h.Record(compare.Sample{Arm: h.arm.Name(), Metric: metric, Unit: compare.Bytes, Value: sums[metric], Instances: len(h.all), Round: h.round})
		if err != nil {
			return err
		}
	}
	return nil
}

// askGuests adds up what the kernels of guests say, which their payloads tell.
func (h *herd) askGuests(ctx context.Context, sums map[string]float64) error {
	metrics := map[string]string{protocol.KernelMemory: MemoryGuestTotal, protocol.KernelMemoryUsed: MemoryGuestUsed}
	for _, i := range h.all {
		lines, err := h.said(ctx, i)
		if err != nil {
			return err
		}
		said := 0
		for _, line := range lines {
			if r, ok := line.(*protocol.Result); ok && metrics[r.Metric] != "" {
				sums[metrics[r.Metric]] += r.Value
				said++
			}
		}
		if said != len(metrics) {
			return errors.New("a guest has not said how much memory it has and uses")
		}
	}
	return nil
}

// sumProcesses adds up what the processes take. One that has ended takes nothing.
func sumProcesses(pids []int) (map[string]float64, error) {
	sums := make(map[string]float64)
	for _, pid := range pids {
		dir := filepath.Join("/proc", strconv.Itoa(pid))
		status, err := os.ReadFile(filepath.Join(dir, "status"))
		if ended(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		rollup, err := os.ReadFile(filepath.Join(dir, "smaps_rollup"))
		if ended(err) {
			continue
		} else if err != nil {
			return nil, err
		}
		sums[MemoryVSS] += float64(host.ParseMemory(status)["VmSize"])
		m := host.ParseMemory(rollup)
		sums[MemoryRSS] += float64(m["Rss"])
		sums[MemoryPSS] += float64(m["Pss"])
		sums[MemoryUSS] += float64(m["Private_Clean"] + m["Private_Dirty"])
		sums[MemoryPSSFile] += float64(m["Pss_File"])
		sums[MemoryPSSAnon] += float64(m["Pss_Anon"])
		sums[MemoryPSSShmem] += float64(m["Pss_Shmem"])
	}
	if sums[MemoryRSS] == 0 {
		return nil, errors.New("none of the instances' processes was found")
	}
	return sums, nil
}

// ended says that err is of a process that has ended.
func ended(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ESRCH)
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(d):
		return nil
	}
}
