package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"microvm/cmd/vmm/internal/measure"
	"microvm/guestinit/modules"
)

// The benchmark of disks has a guest of each arm at the same time, of which one goes
// on and the others are stopped (SIGSTOP). They take turns, in random order, one
// workload long. So what an arm is compared with is seconds away, where a host's speed
// drifts within minutes.

// diskTurns is how many turns each arm has for each workload; MICROVM_RUNS is another
// number.
const diskTurns = 4

// workloads are what a disk is measured with: pattern, block size, depth.
var workloads = []string{
	"randread:4k:1", "randwrite:4k:1", "randread:4k:32", "randwrite:4k:32", "read:1m:1", "write:1m:1",
}

// testDiskSize is the size of the disk under test in bytes: that of all arms
// stays in the emulated host's memory. The script knows it.
const testDiskSize = 128 << 20

// BenchmarkDisk compares disks with QEMU's: a file of ext4 through the page cache,
// with each way of I/O that QEMU has for it, and a block device past it.
func BenchmarkDisk(b *testing.B) {
	const arms = 4
	devices := ramDisks(b, 1+arms)
	images := imagesOn(b, devices[0], arms-1)
	qemuDisk := func(path, aio, cache string) guestArm {
		return qemuWith(b, "qemu aio="+aio,
			"-drive", "if=none,id=test,format=raw,discard=unmap,file="+path+",aio="+aio+",cache="+cache, "-device", "virtio-blk-device,drive=test,serial=test")
	}
	b.Run("file", func(b *testing.B) {
		for range b.N {
			compareInTurns(b, []guestArm{
				oursWith(b, "vmm", "--disk", "path="+images[0]+",id=test"),
				qemuDisk(images[1], "io_uring", "writeback"), qemuDisk(images[2], "threads", "writeback"),
			})
		}
	})
	b.Run("device", func(b *testing.B) {
		for _, device := range devices[1:] {
			fill(b, device)
		}
		for range b.N {
			compareInTurns(b, []guestArm{
				oursWith(b, "vmm", "--disk", "path="+devices[1]+",id=test,cache=none"),
				qemuDisk(devices[2], "io_uring", "none"), qemuDisk(devices[3], "native", "none"), qemuDisk(devices[4], "threads", "none"),
			})
		}
	})
}

// A turnGuest is a guest that runs workloads in its turns, and is stopped between
// them.
type turnGuest struct {
	guestArm
	cmd     *exec.Cmd
	console string
	results int // that it has said
	ended   chan struct{}
	output  bytes.Buffer // the monitor's; after ended
}

// turnTime is how long a guest may take for a turn, its boot included.
const turnTime = 2 * time.Minute

// startTurns starts a guest for a number of turns for each workload, and stops it
// before the first.
func (a guestArm) startTurns(b *testing.B, turns int) *turnGuest {
	b.Helper()
	// A guest that has been stopped is not to complain of it on the console.
	const parameters = "nowatchdog rcupdate.rcu_cpu_stall_suppress=1"
	script := append([]string{"disk.sh"}, slices.Concat(slices.Repeat([][]string{workloads}, turns)...)...)
	command, console := a.prepare(b, parameters, script)
	g := &turnGuest{guestArm: a, console: console, ended: make(chan struct{})}
	g.cmd = exec.CommandContext(b.Context(), command[0], command[1:]...)
	g.cmd.Stdout, g.cmd.Stderr = &g.output, &g.output
	if err := g.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	go func() {
		_ = g.cmd.Wait() // results are what counts
		close(g.ended)
	}()
	b.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.ended
	})
	if _, err := g.turn("ready"); err != nil {
		b.Fatal(err)
	}
	return g
}

// turn lets the guest go on until it says its next result, which must be of a name.
func (g *turnGuest) turn(name string) (float64, error) {
	if err := g.cmd.Process.Signal(unix.SIGCONT); err != nil {
		return 0, err
	}
	defer g.cmd.Process.Signal(unix.SIGSTOP)                                         // nothing of one that has ended
	for deadline := time.Now().Add(turnTime); ; time.Sleep(100 * time.Millisecond) { // it takes the guest's processor
		over := time.Now().After(deadline)
		select {
		case <-g.ended:
			over = true
		default:
		}
		output, err := os.ReadFile(g.console)
		if err != nil {
			return 0, err
		}
		results, err := parseResults(string(output))
		switch {
		case err != nil:
			return 0, err
		case len(results) > g.results:
			r := results[g.results]
			if g.results++; r.name != name {
				return 0, fmt.Errorf("%s: result of %q, want of %s", g.name, r.name, name)
			}
			return r.value, nil
		case over:
			return 0, fmt.Errorf("%s: no result of %s\n%s", g.name, name, output)
		}
	}
}

// compareInTurns measures all workloads in all arms, and reports for each the ratio of
// the first arm to the best of the others, turn by turn. More is better. A guest
// of another monitor that is lost is shown and left out: QEMU with io_uring at times
// hangs under emulation.
func compareInTurns(b *testing.B, arms []guestArm) {
	b.Helper()
	turns := runs(b, diskTurns)
	var guests []*turnGuest
	for _, a := range arms {
		guests = append(guests, a.startTurns(b, turns))
	}
	samples := make(map[string]map[string][]float64) // workload, arm
	for _, w := range workloads {
		samples[w] = make(map[string][]float64)
	}
	for range turns {
		for _, w := range workloads {
			for _, i := range rand.Perm(len(guests)) {
				g := guests[i]
				if g == nil {
					continue
				}
				value, err := g.turn(w)
				if err != nil && i == 0 {
					b.Fatal(err)
				} else if err != nil {
					b.Log("lost: ", err)
					guests[i] = nil
					continue
				}
				samples[w][g.name] = append(samples[w][g.name], value)
			}
		}
	}
	var names []string
	for _, g := range guests {
		if g != nil {
			names = append(names, g.name)
		}
	}
	for _, w := range workloads {
		reportTurns(b, w, names, samples[w])
	}
}

// reportTurns reports the ratio of the first of names to the best of the others.
func reportTurns(b *testing.B, workload string, names []string, samples map[string][]float64) {
	b.Helper()
	if len(names) < 2 {
		b.Fatal("every guest of another monitor was lost")
	}
	best := bestOf(names[1:], samples)
	var ratios []float64
	for turn, ours := range samples[names[0]] {
		ratios = append(ratios, ours/samples[best][turn])
	}
	for _, name := range names {
		b.Logf("%s: %s %.0f a second", workload, name, samples[name])
	}
	low, high := slices.Min(ratios), slices.Max(ratios)
	what := "all between"
	if !measure.Sparse(len(ratios)) {
		low, high = measure.MedianInterval(ratios)
		what = "95 % interval"
	}
	b.Logf("%s: %s / %s: %.2f (%s %.2f and %.2f, %d turns)", workload, names[0], best, measure.Median(ratios), what, low, high, len(ratios))
	b.ReportMetric(measure.Median(ratios), strings.ReplaceAll(workload, ":", "-")+"-ratio")
}

// imagesOn makes an ext4 file system on a device, and returns the paths of n images
// there.
func imagesOn(b *testing.B, device string, n int) (images []string) {
	b.Helper()
	dir := b.TempDir()
	for _, command := range [][]string{{"mke2fs", "-q", "-t", "ext4", "-E", "lazy_itable_init=0", device}, {"mount", device, dir}} {
		if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
			b.Fatalf("%v: %v\n%s", command, err, out)
		}
	}
	b.Cleanup(func() { _ = exec.Command("umount", dir).Run() }) // it goes with the emulated host
	for i := range n {
		image := filepath.Join(dir, fmt.Sprintf("disk%d.img", i))
		fill(b, image)
		images = append(images, image)
	}
	return images
}

// fill fills a new file, or the begin of a device, with random bytes.
func fill(b *testing.B, path string) {
	b.Helper()
	data := make([]byte, 1<<20)
	for i := range data {
		data[i] = byte(rand.Uint32())
	}
	if err := os.WriteFile(path, bytes.Repeat(data, testDiskSize>>20), 0o600); err != nil {
		b.Fatal(err)
	}
}

// ramDisks makes n block devices of the kernel's ramdisk driver, and returns
// their paths. It loads ext4 as well, for what is put on them: an emulated host finds
// no module by itself.
func ramDisks(b *testing.B, n int) (devices []string) {
	b.Helper()
	index, err := modules.Open(benchArtifact(b, "build/kernels/generic/modules"))
	if err != nil {
		b.Fatal(err)
	}
	order, err := index.Resolve("crc32c_generic", "ext4", "brd") // the first for the checksums of the second
	if err != nil {
		b.Fatal(err)
	}
	for _, m := range order {
		insmod := exec.Command("insmod", filepath.Join(index.Dir, m.File))
		if m.Name == "brd" { // whose disks have a size and take what is written
			insmod.Args = append(insmod.Args, fmt.Sprintf("rd_nr=%d", n), fmt.Sprintf("rd_size=%d", n*testDiskSize>>10))
		}
		if out, err := insmod.CombinedOutput(); err != nil && !strings.Contains(string(out), "File exists") {
			b.Fatalf("%v: %v\n%s", insmod.Args, err, out)
		}
	}
	b.Cleanup(func() { _ = exec.Command("rmmod", "brd").Run() }) // it goes with the emulated host
	for i := range n {
		devices = append(devices, fmt.Sprintf("/dev/ram%d", i))
	}
	return devices
}
