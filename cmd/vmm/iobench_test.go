package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/measure"
	"microvm/vmm"
)

// The benchmarks of disks and networks run a script of testdata/bench in a guest,
// the same kernel, initramfs, tools and data in each arm. The guest measures, and
// says what it measured on its console. Arms are interleaved in random order, a
// guest for each run.

// ioRuns is how many guests each arm of a benchmark of I/O has; MICROVM_RUNS is
// another number.
const ioRuns = 3

// lostRuns is how many guests in a row another monitor may lose.
const lostRuns = 2

// A guestArm is a monitor with a device under test. Its command is complete but
// for the kernel's command line and where the console goes.
type guestArm struct {
	name    string
	console vmm.ConsoleKind // of the guest's words; "" is serial
	args    []string        // that the script has of this arm alone
	command func(cmdline, console string) []string
}

// oursWith is the arm of the program itself with flags for the device.
func oursWith(b *testing.B, name string, flags ...string) guestArm {
	program, kernel, initrd := benchArtifact(b, "bin/vmm"), benchArtifact(b, "build/kernels/cloud/vmlinuz"), benchArtifact(b, "build/bench.cpio")
	tools := "path=" + benchArtifact(b, "build/debian.img") + ",ro,id=tools"
	return guestArm{name: name, command: func(cmdline, console string) []string {
		return append([]string{program, "boot", "--kernel", kernel, "--initrd", initrd, "--cmdline", cmdline,
			"--console-output", console, "--disk", tools}, flags...)
	}}
}

// qemuWith is QEMU's smallest machine with flags for the device.
func qemuWith(b *testing.B, name string, flags ...string) guestArm {
	kernel, initrd, tools := benchArtifact(b, "build/kernels/cloud/vmlinuz"), benchArtifact(b, "build/bench.cpio"), benchArtifact(b, "build/debian.img")
	return guestArm{name: name, command: func(cmdline, console string) []string {
		return append([]string{"qemu-system-x86_64", "-M", "microvm", "-accel", "kvm", "-cpu", "host", "-m", "512", "-smp", "1",
			"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:" + console,
			"-kernel", kernel, "-initrd", initrd, "-append", cmdline,
			"-drive", "if=none,id=tools,format=raw,readonly=on,file=" + tools + ",file.locking=off",
			"-device", "virtio-blk-device,drive=tools,serial=tools",
		}, flags...)
	}}
}

// run runs the arm's guest with a script, and returns what it says it measured. The
// error says that the guest was lost before its end, and what is known of it.
func (a guestArm) run(b *testing.B, script ...string) ([]guestResult, error) {
	b.Helper()
	command, console := a.prepare(b, "", script)
	ctx, cancel := context.WithTimeout(b.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	var messages bytes.Buffer
	cmd.Stdout, cmd.Stderr = &messages, &messages
	ended := cmd.Run() // with the guest's status, or QEMU's own
	output, err := os.ReadFile(console)
	if err != nil {
		b.Fatal(err)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%s: %w\n%s\n%s", a.name, ctx.Err(), &messages, output)
	}
	results, err := parseResults(string(output))
	if err != nil || len(results) == 0 {
		b.Fatalf("%s: no results: %v, %v\n%s\n%s", a.name, err, ended, &messages, output)
	}
	return results, nil
}

// prepare returns the command of a guest that runs a script, with parameters for its
// kernel, and the file that its console goes to.
func (a guestArm) prepare(b *testing.B, parameters string, script []string) (command []string, console string) {
	b.Helper()
	console = filepath.Join(b.TempDir(), "console")
	if err := os.WriteFile(console, nil, 0o600); err != nil {
		b.Fatal(err)
	}
	cmdline := strings.Join([]string{a.console.Cmdline(), "quiet", parameters, "-- sh /bench/" + strings.Join(script, " ")}, " ")
	return a.command(cmdline, console), console
}

// A guestResult is what a guest says that it has measured.
type guestResult struct {
	name  string
	value float64
}

// parseResults reads the lines "RESULT NAME VALUE" among others. The last may not be
// whole yet.
func parseResults(output string) (results []guestResult, err error) {
	for line := range strings.Lines(output) {
		fields := strings.Fields(line)
		if len(fields) != 3 || fields[0] != "RESULT" || !strings.HasSuffix(line, "\n") {
			continue
		}
		value, err := strconv.ParseFloat(fields[2], 64)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		results = append(results, guestResult{fields[1], value})
	}
	return results, nil
}

// runs is how many runs each arm has: n, or what MICROVM_RUNS says.
func runs(b *testing.B, n int) int {
	text := os.Getenv("MICROVM_RUNS")
	if text == "" {
		return n
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		b.Fatalf("MICROVM_RUNS=%s: must be a whole number above 0", text)
	}
	return n
}

// compareGuests runs all arms, interleaved, with a script, and reports for each
// result the ratio of the first arm to the best of the others. More is better. A
// guest of another monitor that is lost is shown, and another one run: QEMU with
// io_uring at times never ends under emulation.
func compareGuests(b *testing.B, arms []guestArm, script ...string) {
	b.Helper()
	samples := make(map[string]map[string][]float64) // result, arm
	var names []string
	for range runs(b, ioRuns) {
		for _, i := range rand.Perm(len(arms)) {
			results, err := arms[i].run(b, script...)
			for lost := 0; err != nil; lost++ {
				if i == 0 || lost == lostRuns {
					b.Fatal(err)
				}
				b.Log("lost: ", err)
				results, err = arms[i].run(b, script...)
			}
			for _, r := range results {
				if samples[r.name] == nil {
					samples[r.name] = make(map[string][]float64)
					names = append(names, r.name)
				}
				samples[r.name][arms[i].name] = append(samples[r.name][arms[i].name], r.value)
			}
		}
	}
	for _, name := range names {
		for _, a := range arms {
			if len(samples[name][a.name]) == 0 {
				b.Fatalf("%s did not measure %s", a.name, name)
			}
		}
		var others []string
		for _, a := range arms[1:] {
			others = append(others, a.name)
			b.Logf("%s: %s %.0f", name, a.name, measure.Median(samples[name][a.name]))
		}
		best := bestOf(others, samples[name])
		r := measure.RatioOf(samples[name][arms[0].name], samples[name][best])
		b.Logf("%s: %s / %s: %v; medians %.0f and %.0f a second", name, arms[0].name, best, r, r.A, r.B)
		b.ReportMetric(r.Ratio, strings.ReplaceAll(name, ":", "-")+"-ratio")
	}
}

// bestOf is the one of arms with the largest median.
func bestOf(arms []string, samples map[string][]float64) string {
	return slices.MaxFunc(arms, func(x, y string) int {
		return cmp.Compare(measure.Median(samples[x]), measure.Median(samples[y]))
	})
}

// BenchmarkConsole compares how fast a guest's output goes through a virtio console.
func BenchmarkConsole(b *testing.B) {
	output := filepath.Join(b.TempDir(), "output")
	ours := oursWith(b, "vmm", "--console", string(vmm.ConsoleVirtio))
	ours.console = vmm.ConsoleVirtio
	for range b.N {
		compareGuests(b, []guestArm{
			ours,
			qemuWith(b, "qemu", "-device", "virtio-serial-device", "-chardev", "file,id=c,path="+output, "-device", "virtconsole,chardev=c"),
		}, "console.sh")
	}
}

// testDisk is the monitor's name for the disk under test: the second one.
const testDisk = "disk1"

// BenchmarkDiskExits counts what a request at depth 32 costs in exits and
// interrupts. That does not depend on how busy the host is.
func BenchmarkDiskExits(b *testing.B) {
	image, stats := filepath.Join(b.TempDir(), "disk.img"), filepath.Join(b.TempDir(), "stats.json")
	if err := os.WriteFile(image, make([]byte, testDiskSize), 0o600); err != nil {
		b.Fatal(err)
	}
	for range b.N {
		ours := oursWith(b, "vmm", "--disk", "path="+image+",id=test", "--stats=json", "--stats-file", stats)
		if _, err := ours.run(b, "disk.sh", "randread:4k:32"); err != nil {
			b.Fatal(err)
		}
		text, err := os.ReadFile(stats)
		if err != nil {
			b.Fatal(err)
		}
		var s vmm.Stats
		if err := json.Unmarshal(text, &s); err != nil {
			b.Fatal(err)
		}
		var exits, requests, interrupts uint64
		for _, a := range s.Accesses {
			if a.Device == testDisk {
				exits += a.Count
			}
		}
		for _, d := range s.Virtio {
			if d.Name == testDisk {
				for _, q := range d.Queues {
					requests += q.Chains
					interrupts += q.Interrupts
				}
			}
		}
		b.Logf("%d requests, %d exits, %d interrupts", requests, exits, interrupts)
		b.ReportMetric(float64(exits)/float64(requests), "exits/request")
		b.ReportMetric(float64(interrupts)/float64(requests), "interrupts/request")
	}
}
