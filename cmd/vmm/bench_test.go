package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/measure"
	"microvm/devices/guestport"
	"microvm/vmm"
)

// The benchmarks start whole processes: the program that "make build" made, and
// its peers as Debian packages them. An arm's time is from before the start of
// its process to when its mark arrives on a pipe. Arms are interleaved in random
// order, and compared by the ratio of their medians.

// How many times each arm of a benchmark runs, without the first, which warms
// caches and does not count.
const (
	bootRuns  = 9  // of seconds each
	startRuns = 51 // of milliseconds each
)

// benchArtifact returns the path of something that the Makefile makes.
func benchArtifact(b *testing.B, path ...string) string {
	b.Helper()
	abs, err := filepath.Abs(filepath.Join(append([]string{"../.."}, path...)...))
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(abs); err != nil {
		b.Fatalf("%v (make build kernels initrd)", err)
	}
	return abs
}

// A benchArm is a way to start something, and how its mark is known.
type benchArm struct {
	name    string
	command []string
	mark    string // what the line on descriptor 3 contains that is the mark; "" for the first byte
}

// time runs the arm once and returns the seconds until its mark.
func (a benchArm) time(b *testing.B) float64 {
	b.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	ctx, cancel := context.WithTimeout(b.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, a.command[0], a.command[1:]...)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.ExtraFiles = []*os.File{w}
	started := time.Now()
	if err := cmd.Start(); err != nil {
		b.Fatal(err)
	}
	w.Close()
	err = awaitMark(r, a.mark)
	took := time.Since(started)
	cancel()
	waitErr := cmd.Wait() // it was killed
	if err != nil {
		b.Fatalf("%s: no mark: %v, %v\n%s", a.name, err, waitErr, &output)
	}
	return took.Seconds()
}

// awaitMark reads from r until the mark of an arm.
func awaitMark(r io.Reader, mark string) error {
	if mark == "" {
		_, err := r.Read(make([]byte, 1))
		return err
	}
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if strings.Contains(lines.Text(), mark) {
			return nil
		}
	}
	return cmp.Or(lines.Err(), io.ErrUnexpectedEOF)
}

// interleave runs each arm so many times, in random order.
func interleave(b *testing.B, runs int, arms ...benchArm) map[string][]float64 {
	b.Helper()
	samples := make(map[string][]float64)
	for run := range 1 + runs {
		for _, i := range rand.Perm(len(arms)) {
			took := arms[i].time(b)
			if run > 0 {
				samples[arms[i].name] = append(samples[arms[i].name], took)
			}
		}
	}
	return samples
}

// reportRatio prints the ratio of two arms.
func reportRatio(b *testing.B, samples map[string][]float64, name, peer string) {
	r := measure.RatioOf(samples[name], samples[peer])
	b.Logf("%s / %s: %v; medians %.4f s and %.4f s", name, peer, r, r.A, r.B)
	b.ReportMetric(r.Ratio, "ratio")
	b.ReportMetric(r.A, "s")
}

// ours is an arm of the program itself.
func ours(b *testing.B, name, mark string, flags ...string) benchArm {
	command := []string{benchArtifact(b, "bin/vmm"), "boot", "--trace", "events", "--trace-file", "/dev/fd/3"}
	return benchArm{name: name, command: append(command, flags...), mark: mark}
}

// BenchmarkFirstRun is the time from exec to the first KVM_RUN: with a stock
// kernel from a warm cache, and for two ELF images that differ in size alone.
func BenchmarkFirstRun(b *testing.B) {
	kernel := benchArtifact(b, "build/kernels/cloud/vmlinuz")
	initrd := benchArtifact(b, "build/minimal.cpio")
	cache := b.TempDir()
	start := func(name, kernel string) benchArm {
		return ours(b, name, vmm.EventFirstRun, "--kernel", kernel, "--initrd", initrd, "--cache-dir", cache)
	}
	large, small := elfOfSize(b, 50e6), elfOfSize(b, 5e6)
	time.Sleep(settle)
	for range b.N {
		samples := interleave(b, startRuns, start("Debian's cloud kernel", kernel), start("50 MB kernel", large), start("5 MB kernel", small))
		reportRatio(b, samples, "50 MB kernel", "5 MB kernel")
		reportRatio(b, samples, "Debian's cloud kernel", "5 MB kernel")
	}
}

// settle is longer than the cache distrusts a file that was just written.
const settle = 5 * time.Second

// elfOfSize makes an ELF image of one segment with n bytes, at whose start is
// a loop for ever, and returns its path.
func elfOfSize(b *testing.B, n int) string {
	b.Helper()
	const page, address = 4096, 16 << 20
	header := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT), Entry: address,
		Phoff: 64, Ehsize: 64, Phentsize: 56, Phnum: 1,
	}
	segment := elf.Prog64{
		Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: page,
		Vaddr: address, Paddr: address, Filesz: uint64(n), Memsz: uint64(n), Align: page,
	}
	var file bytes.Buffer
	for _, part := range []any{header, segment} {
		if err := binary.Write(&file, binary.LittleEndian, part); err != nil {
			b.Fatal(err)
		}
	}
	image := make([]byte, page+n)
	copy(image, file.Bytes())
	copy(image[page:], []byte{0xeb, 0xfe}) // jmp to itself
	path := filepath.Join(b.TempDir(), "vmlinux")
	if err := os.WriteFile(path, image, 0o644); err != nil {
		b.Fatal(err)
	}
	return path
}

// BenchmarkBoot is the time from exec to the first mark of the guest's init,
// with a stock kernel and an initramfs that holds that init alone.
func BenchmarkBoot(b *testing.B) {
	kernel := benchArtifact(b, "build/kernels/cloud/vmlinuz")
	initrd := benchArtifact(b, "build/minimal.cpio")
	cache := b.TempDir()
	for _, quiet := range []string{"", " quiet"} {
		cmdline := vmm.ConsoleSerial.Cmdline() + quiet
		b.Run("console"+strings.ReplaceAll(quiet, " ", "-"), func(b *testing.B) {
			for range b.N {
				samples := interleave(b, bootRuns,
					ours(b, "vmm", vmm.EventMark, "--kernel", kernel, "--initrd", initrd, "--cache-dir", cache, "--cmdline", cmdline),
					qemu(b, "qemu microvm", kernel, initrd, cmdline),
				)
				reportRatio(b, samples, "vmm", "qemu microvm")
			}
		})
	}
}

// BenchmarkBootDevices is what four virtio devices cost until the first mark of
// the guest's init.
func BenchmarkBootDevices(b *testing.B) {
	kernel := benchArtifact(b, "build/kernels/cloud/vmlinuz")
	initrd := benchArtifact(b, "build/minimal.cpio")
	cache := b.TempDir()
	disk := filepath.Join(cache, "disk.img")
	if err := os.WriteFile(disk, make([]byte, 1<<20), 0o600); err != nil {
		b.Fatal(err)
	}
	boot := func(name string, flags ...string) benchArm {
		return ours(b, name, vmm.EventMark, append([]string{"--kernel", kernel, "--initrd", initrd, "--cache-dir", cache, "--append", "quiet"}, flags...)...)
	}
	for range b.N {
		samples := interleave(b, bootRuns, boot("no device"),
			boot("four devices", "--disk", disk, "--net", "user", "--rng", "--balloon=0"))
		reportRatio(b, samples, "four devices", "no device")
	}
}

// BenchmarkKernelOptions is what groups of the small kernel's options cost: the
// time from exec to the first mark of the guest's init with a kernel that differs
// from the small one in one group, and how often the guest was left until it had
// powered off.
func BenchmarkKernelOptions(b *testing.B) {
	const small = "../../build/kernels/small/vmlinuz"
	variants, err := filepath.Glob("../../build/kernels/small-*/vmlinuz")
	if err != nil {
		b.Fatal(err)
	}
	if _, err := os.Stat(small); err != nil || len(variants) == 0 {
		b.Skip("SKIP: no variants of the small kernel: make guest-kernel-variants")
	}
	initrd := benchArtifact(b, "build/minimal.cpio")
	cache := b.TempDir()

	type kernel struct {
		name, path string
		flags      []string
	}
	boot := func(b *testing.B, base kernel, others ...kernel) {
		flags := func(k kernel) []string {
			return append([]string{"--kernel", k.path, "--initrd", initrd, "--cache-dir", cache, "--append", "quiet"}, k.flags...)
		}
		kernels := append([]kernel{base}, others...)
		var arms []benchArm
		exits := make(map[string][2]uint64)
		for _, k := range kernels {
			arms = append(arms, ours(b, k.name, vmm.EventMark, flags(k)...))
			exits[k.name] = exitsUntilOff(b, flags(k)...)
		}
		samples := interleave(b, bootRuns, arms...)
		for _, k := range kernels {
			file, err := os.Stat(k.path)
			if err != nil {
				b.Fatal(err)
			}
			r := measure.RatioOf(samples[k.name], samples[base.name])
			b.Logf("%-22s %.3f (%.3f to %.3f, %d pairs); median %.3f s; %d exits to the monitor, %d in all; vmlinuz %.2f MB",
				k.name, r.Ratio, r.Low, r.High, r.N, r.A, exits[k.name][0], exits[k.name][1], float64(file.Size())/1e6)
		}
	}

	// The same kernel twice shows how much of a ratio is chance. What an option of
	// the command line turns off needs no kernel of its own.
	kernels := []kernel{{name: "small, again", path: small}}
	for _, option := range []string{"pci=off", "mitigations=off", "init_on_alloc=0"} {
		kernels = append(kernels, kernel{"small, " + option, small, []string{"--append", option}})
	}
	for _, path := range variants {
		name := strings.TrimPrefix(filepath.Base(filepath.Dir(path)), "small-")
		kernels = append(kernels, kernel{name: name, path: path})
	}
	b.Run("decompressed-by-vmm", func(b *testing.B) {
		for range b.N {
			boot(b, kernel{name: "small", path: small}, kernels...)
		}
	})

	// How the kernel is compressed, and where it then goes, matters only where it
	// does that itself.
	itself := []string{"--kernel-entry", "linux64"}
	kernels = nil
	for _, name := range []string{"gzip", "kaslr"} {
		path := filepath.Join("../../build/kernels", "small-"+name, "vmlinuz")
		if slices.Contains(variants, path) {
			kernels = append(kernels, kernel{name, path, itself})
		}
	}
	if len(kernels) == 0 {
		return
	}
	b.Run("decompressed-by-itself", func(b *testing.B) {
		for range b.N {
			boot(b, kernel{"small", small, itself}, kernels...)
		}
	})
}

// exitsUntilOff boots a guest that powers off, and returns how often it was left
// for the monitor, and how often by KVM's own count.
func exitsUntilOff(b *testing.B, flags ...string) (counts [2]uint64) {
	b.Helper()
	s := statsOf(b, flags...)
	for _, e := range s.Exits {
		counts[0] += e.Count
	}
	for _, c := range s.KVM {
		if c.Name == "exits" {
			counts[1] = c.Count
		}
	}
	return counts
}

// statsOf boots a guest that powers off, and returns its statistics.
func statsOf(b *testing.B, flags ...string) (s vmm.Stats) {
	b.Helper()
	stats := filepath.Join(b.TempDir(), "stats.json")
	cmd := exec.Command(benchArtifact(b, "bin/vmm"), append([]string{"boot", "--stats=json", "--stats-file", stats}, flags...)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	text, err := os.ReadFile(stats)
	if err != nil {
		b.Fatal(err)
	}
	if err := json.Unmarshal(text, &s); err != nil {
		b.Fatal(err)
	}
	return s
}

// markPort is where QEMU's debug console takes the guest's marks. It is told to
// the guest's init, which finds no guest port there.
const markPort = "0x610"

// qemu is QEMU's smallest machine with as much in it as ours has. What is
// written to the debug console's port arrives on the pipe. Its serial port goes
// to a file: to a pipe it stalls for ever now and then.
func qemu(b *testing.B, name, kernel, initrd, cmdline string) benchArm {
	return benchArm{name: name, mark: "", command: []string{
		"qemu-system-x86_64", "-M", "microvm", "-accel", "kvm", "-cpu", "host", "-m", "512", "-smp", "1",
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:" + filepath.Join(b.TempDir(), "console"),
		"-chardev", "file,id=marks,path=/dev/fd/3", "-device", "isa-debugcon,iobase=" + markPort + ",chardev=marks",
		"-kernel", kernel, "-initrd", initrd, "-append", cmdline + " guestport=" + markPort,
	}}
}

// BenchmarkMemory is what the monitor itself takes of the host's memory with a
// booted guest: its proportional set size without guest RAM.
func BenchmarkMemory(b *testing.B) {
	kernel := benchArtifact(b, "build/kernels/cloud/vmlinuz")
	initrd := benchArtifact(b, "build/init.cpio")
	for range b.N {
		r, w, err := os.Pipe()
		if err != nil {
			b.Fatal(err)
		}
		defer r.Close()
		shell := ours(b, "vmm", fmt.Sprintf("%s %d", vmm.EventMark, guestport.StagePayload),
			"--kernel", kernel, "--initrd", initrd, "--append", "quiet", "--", "sleep", "1000")
		cmd := exec.Command(shell.command[0], shell.command[1:]...)
		cmd.ExtraFiles = []*os.File{w}
		if err := cmd.Start(); err != nil {
			b.Fatal(err)
		}
		w.Close()
		if err := awaitMark(r, shell.mark); err != nil {
			b.Fatal(err)
		}
		monitor, guest := proportionalSizes(b, cmd.Process.Pid)
		b.Logf("PSS of the monitor %.1f MiB, of guest RAM %.1f MiB", monitor, guest)
		b.ReportMetric(monitor, "MiB")
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	}
}

// BenchmarkExits counts the exits until init, by cause.
func BenchmarkExits(b *testing.B) {
	kernel := benchArtifact(b, "build/kernels/cloud/vmlinuz")
	initrd := benchArtifact(b, "build/minimal.cpio")
	for range b.N {
		s := statsOf(b, "--kernel", kernel, "--initrd", initrd, "--append", "quiet")
		var all uint64
		for _, e := range s.Exits {
			all += e.Count
		}
		b.ReportMetric(float64(all), "exits")
		for _, c := range s.KVM {
			b.Logf("%6d %s, by KVM's own count", c.Count, c.Name)
		}
		for _, a := range s.Accesses[:min(10, len(s.Accesses))] {
			b.Logf("%6d %s %s %#x write=%t", a.Count, a.Device, a.Space, a.Addr, a.Write)
		}
	}
}

var (
	smapsHeader = regexp.MustCompile(`^([0-9a-f]+)-([0-9a-f]+) `)
	smapsPSS    = regexp.MustCompile(`^Pss: +(\d+) kB`)
)

// proportionalSizes adds up the proportional set sizes, in MiB, of a monitor's
// mappings, those of guest RAM apart: RAM is the longest stretch of mappings
// without a gap between them.
func proportionalSizes(b *testing.B, pid int) (monitor, guest float64) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps", pid))
	if err != nil {
		b.Fatal(err)
	}
	type stretch struct {
		first, last uint64
		pss         float64
	}
	var stretches []stretch
	for line := range strings.Lines(string(text)) {
		if m := smapsHeader.FindStringSubmatch(line); m != nil {
			first, _ := strconv.ParseUint(m[1], 16, 64)
			last, _ := strconv.ParseUint(m[2], 16, 64)
			if n := len(stretches); n > 0 && stretches[n-1].last == first {
				stretches[n-1].last = last
			} else {
				stretches = append(stretches, stretch{first: first, last: last})
			}
		} else if m := smapsPSS.FindStringSubmatch(line); m != nil {
			kib, _ := strconv.ParseFloat(m[1], 64)
			stretches[len(stretches)-1].pss += kib / 1024
		}
	}
	ram := slices.MaxFunc(stretches, func(a, b stretch) int { return cmp.Compare(a.last-a.first, b.last-b.first) })
	for _, s := range stretches {
		if s != ram {
			monitor += s.pss
		}
	}
	return monitor, ram.pss
}
