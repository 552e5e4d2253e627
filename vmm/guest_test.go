package vmm_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"microvm/boot"
	"microvm/devices/guestport"
	"microvm/vmm"
)

// The tests in this file boot real kernels. They need what "make kernels
// initrd rootfs" puts into build, and a KVM that runs kernel code in hardware; under
// kvmhost there is one everywhere.

// build is where the Makefile puts what it makes and downloads.
const build = "../build"

// need skips the test because something that it needs is missing on this
// host, or fails it if MICROVM_NOSKIP says that nothing may be missing.
func need(t testing.TB, what string) {
	t.Helper()
	if os.Getenv("MICROVM_NOSKIP") != "" {
		t.Fatalf("missing, and MICROVM_NOSKIP is set: %s", what)
	}
	t.Skipf("SKIPPED, missing on this host: %s", what)
}

// artifact returns the path of something that the Makefile makes.
func artifact(t testing.TB, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(build, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		need(t, path+" (make kernels initrd rootfs)")
	}
	return path
}

// kernelImage returns the path of one of Debian's kernels.
func kernelImage(t testing.TB, variant string) string {
	t.Helper()
	return artifact(t, filepath.Join("kernels", variant, "vmlinuz"))
}

// needRealKVM skips where guest kernel code is interpreted: an unmodified Linux
// would take minutes.
func needRealKVM(t testing.TB) {
	t.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^flags\s*:.*\b(vmx|svm)\b`).Match(info) {
		need(t, "a processor with VMX or SVM (run under kvmhost)")
	}
}

// A console is a guest's console that a test reads and writes.
type console struct {
	input []byte // what the guest is to read; nil for nothing, and no end

	mu     sync.Mutex
	output bytes.Buffer // guarded by mu
	wanted chan struct{}
	marker string
}

func (c *console) Write(_ context.Context, p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.output.Write(p)
	if c.wanted != nil && strings.Contains(c.output.String(), c.marker) {
		close(c.wanted)
		c.wanted = nil
	}
	return len(p), nil
}

func (c *console) Read(ctx context.Context, p []byte) (int, error) {
	if len(c.input) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.input)
	c.input = c.input[n:]
	return n, nil
}

// text is what the guest has written, with the terminal's line ends removed.
func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return strings.ReplaceAll(c.output.String(), "\r\n", "\n")
}

// until returns a channel that is closed when the guest has written marker.
func (c *console) until(marker string) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	wanted := make(chan struct{})
	if strings.Contains(c.output.String(), marker) {
		close(wanted)
	} else {
		c.wanted, c.marker = wanted, marker
	}
	return wanted
}

// await waits until the guest has written marker, and reports false if ctx is done
// before.
func (c *console) await(ctx context.Context, marker string) bool {
	select {
	case <-c.until(marker):
		return true
	case <-ctx.Done():
		return false
	}
}

// guestTime is more than any guest of these tests takes, on a busy emulated
// host too. It turns a hang into a failure with the console's output.
const guestTime = 10 * time.Minute

// warnings is a kernel command line that shows on the console what the kernel
// logs as a warning or worse.
const warnings = "console=ttyS0 panic=-1 loglevel=5"

// A guest is a machine's configuration and what its life left.
type guest struct {
	vmm.Config
	console *console
	cancel  <-chan struct{} // closes when the user stops the guest, nil for never

	outcome vmm.Outcome
	err     error
	stats   vmm.Stats
}

// newGuest returns a guest with Debian's cloud kernel and the project's own
// initramfs that runs a shell command, or reads its commands from the console
// if that is empty.
func newGuest(t testing.TB, command string) *guest {
	t.Helper()
	needRealKVM(t)
	g := &guest{console: &console{}}
	g.Config = vmm.Config{
		Kernel: kernelImage(t, "cloud"), Initrd: artifact(t, "init.cpio"),
		Cmdline: warnings, Memory: vmm.DefaultMemory, CPUs: 1,
		CacheDir: filepath.Join(os.TempDir(), "vmm-test-cache"),
		Console:  vmm.Console{In: g.console, Out: g.console},
	}
	if command != "" {
		g.Cmdline += fmt.Sprintf(` -- sh -c "%s"`, command)
	}
	return g
}

// run runs the guest to its end.
func (g *guest) run(t testing.TB) *guest {
	t.Helper()
	return g.with(t, func(context.Context, *vmm.Machine) {})
}

// with is run, while meanwhile does something with the machine. Its context is
// done when the guest has ended.
func (g *guest) with(t testing.TB, meanwhile func(context.Context, *vmm.Machine)) *guest {
	t.Helper()
	m, err := vmm.New(g.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	}()
	ctx, stop := context.WithTimeoutCause(context.Background(), guestTime, errors.New("the test ran out of time"))
	defer stop()
	if g.cancel != nil {
		go func() {
			select {
			case <-g.cancel:
				stop()
			case <-ctx.Done():
			}
		}()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		meanwhile(ctx, m)
	}()
	g.outcome, g.err = m.Run(ctx)
	stop()
	<-done
	g.stats = m.Stats()
	return g
}

// wants checks how the guest ended.
func (g *guest) wants(t testing.TB, end vmm.End, status uint8) {
	t.Helper()
	if g.err != nil || g.outcome.End != end || g.outcome.Status != status {
		var diagnosis strings.Builder
		if g.outcome.Diagnosis != nil {
			g.outcome.Diagnosis.WriteTo(&diagnosis)
		}
		t.Errorf("guest ended %v, error %v; want %v with status %d\n%s\n%s", g.outcome, g.err, end, status, g.console.text(), &diagnosis)
	}
}

// An unmodified kernel of each kind boots by each entry, sees its processors
// and its memory, and logs nothing worse than a notice that our machine causes.
func TestKernels(t *testing.T) {
	tests := []struct {
		kernel    string
		extracted bool // give the vmlinux that is inside the bzImage
		entry     boot.Entry
		cpus      int
		memory    uint64
	}{
		{"cloud", false, "auto", 1, 512 * vmm.MiB},
		{"cloud", false, "elf", 2, 512 * vmm.MiB},
		{"cloud", false, "linux64", 2, 512 * vmm.MiB},
		{"cloud", false, "pvh", 2, 512 * vmm.MiB},
		{"cloud", false, "auto", 4, 4 * vmm.GiB},
		{"cloud", false, "auto", 1, 16 * vmm.GiB},
		{"cloud", true, "elf", 1, 512 * vmm.MiB},
		{"cloud", true, "pvh", 1, 512 * vmm.MiB},
		{"generic", false, "auto", 1, 512 * vmm.MiB},
		{"generic", false, "linux64", 1, 512 * vmm.MiB},
		{"generic", false, "pvh", 2, 512 * vmm.MiB},
		{"generic", false, "auto", 4, 512 * vmm.MiB},
		{"generic", true, "elf", 1, 512 * vmm.MiB},
		{"generic", true, "pvh", 1, 512 * vmm.MiB},
		{"cloud-6.12", false, "auto", 1, 512 * vmm.MiB},
		{"cloud-6.12", false, "linux64", 2, 512 * vmm.MiB},
		{"cloud-6.12", false, "pvh", 1, 512 * vmm.MiB},
		{"cloud-6.12", false, "auto", 4, 512 * vmm.MiB},
		{"cloud-6.12", true, "elf", 1, 512 * vmm.MiB},
		{"cloud-6.12", true, "pvh", 1, 512 * vmm.MiB},
	}
	for _, tt := range tests {
		name := tt.kernel
		if tt.extracted {
			name += " extracted"
		}
		t.Run(fmt.Sprintf("%s/%s/%d cpus/%d MiB", name, tt.entry, tt.cpus, tt.memory/vmm.MiB), func(t *testing.T) {
			g := newGuest(t, "echo cpus=$(nproc) $(grep MemTotal /proc/meminfo)")
			g.Kernel, g.Entry, g.CPUs, g.Memory = kernelImage(t, tt.kernel), tt.entry, tt.cpus, tt.memory
			if tt.extracted {
				g.Kernel = extract(t, g.Kernel)
			}
			g.run(t).wants(t, vmm.EndPoweredOff, 0)
			out := g.console.text()
			found := regexp.MustCompile(`cpus=(\d+) MemTotal: +(\d+) kB`).FindStringSubmatch(kernelMessage.ReplaceAllString(out, ""))
			if found == nil {
				t.Fatalf("no answer from the guest:\n%s", out)
			}
			if found[1] != strconv.Itoa(tt.cpus) {
				t.Errorf("guest sees %s processors, want %d", found[1], tt.cpus)
			}
			kib, err := strconv.ParseUint(found[2], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			// The kernel keeps some for itself: its own image, and 1/64
			// for the descriptors of pages.
			if total := kib * vmm.KiB; total > tt.memory || total < tt.memory-tt.memory/32-128*vmm.MiB {
				t.Errorf("guest sees %d KiB of memory of %d MiB", kib, tt.memory/vmm.MiB)
			}
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "[") && !harmless.MatchString(line) {
					t.Errorf("the kernel warns: %s", line)
				}
			}
		})
	}
}

// extract writes the vmlinux that is inside a bzImage to a file of its own, as
// the kernel's build made it.
func extract(t *testing.T, bzImage string) (path string) {
	t.Helper()
	k, err := boot.Open(bzImage)
	if err != nil {
		t.Fatal(err)
	}
	defer k.Close()
	var vmlinux bytes.Buffer
	if err := k.WriteELF(&vmlinux, ""); err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "vmlinux")
	if err := os.WriteFile(path, vmlinux.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A 32-bit kernel boots by its 32-bit entry, with a 32-bit init.
func TestKernel32(t *testing.T) {
	for _, entry := range []boot.Entry{"auto", "linux32"} {
		t.Run(string(entry), func(t *testing.T) {
			g := newGuest(t, "")
			g.Kernel, g.Initrd, g.Entry = kernelImage(t, "i386"), artifact(t, "minimal-386.cpio"), entry
			g.run(t).wants(t, vmm.EndPoweredOff, 0)
			if !g.reached(guestport.StageInit) {
				t.Errorf("no mark of init on the timeline %v", g.stats.Timeline)
			}
		})
	}
}

// reached reports whether the guest's init has said that it reached a stage.
func (g *guest) reached(stage int) bool {
	return slices.ContainsFunc(g.stats.Timeline, func(e vmm.Event) bool { return e.Name == vmm.EventMark && e.Stage == stage })
}

// kernelMessage is a message of the kernel, which may come in the middle of what
// a program writes.
var kernelMessage = regexp.MustCompile(`\[ *\d+\.\d+\] .*\n`)

// harmless are the warnings of Debian's kernels that remain, and why.
var harmless = regexp.MustCompile(strings.Join([]string{
	// The kernel's last words, which it says loudly.
	`reboot: `,
	// Linux 6.12 looks for its AMD frequency driver on every AMD processor.
	// A guest has no say in its processor's frequency, and no _CPC object.
	`amd_pstate: the _CPC object is not present`,
	// A busy host kept the guest waiting.
	`hrtimer: interrupt took`,
	`clocksource: .*(timekeeping watchdog|wd-tsc)`,
}, "|"))

// Each way in which a guest can end is told apart.
func TestEnds(t *testing.T) {
	tests := []struct {
		name, command, cmdline string
		end                    vmm.End
		status                 uint8
	}{
		{name: "end of the payload", command: "exit 7", end: vmm.EndPoweredOff, status: 7},
		{name: "poweroff", command: "poweroff; sleep 60", end: vmm.EndPoweredOff},
		{name: "reboot by ACPI", command: "reboot; sleep 60", end: vmm.EndRebooted},
		{name: "reboot by the keyboard controller", command: "reboot; sleep 60", cmdline: "reboot=k", end: vmm.EndRebooted},
		{name: "reboot by triple fault", command: "reboot; sleep 60", cmdline: "reboot=t", end: vmm.EndTripleFault},
		{name: "panic", command: "echo c > /proc/sysrq-trigger", end: vmm.EndPanicked},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := newGuest(t, tt.command)
			g.Cmdline = tt.cmdline + " " + g.Cmdline
			g.run(t).wants(t, tt.end, tt.status)
			if g.outcome.Diagnosis == nil && tt.end == vmm.EndTripleFault {
				t.Error("no diagnosis of a triple fault")
			}
		})
	}
}

// A user stops a guest that goes on for ever.
func TestStopped(t *testing.T) {
	g := newGuest(t, "echo I am up; while true; do true; done")
	g.CPUs = 2
	g.cancel = g.console.until("I am up")
	g.run(t).wants(t, vmm.EndStopped, 0)
}

// A script on the console is run and not echoed, and its status is the guest's.
func TestScriptOnConsole(t *testing.T) {
	g := newGuest(t, "")
	g.console.input = []byte("echo $((6 * 7)) is the answer\nexit 3") // no newline at the end
	g.run(t).wants(t, vmm.EndPoweredOff, 3)
	if out := g.console.text(); !strings.Contains(out, "42 is the answer") || strings.Contains(out, "6 * 7") {
		t.Errorf("console says\n%s", out)
	}
}

// The timeline has the host's points and the guest's marks, in order.
func TestTimeline(t *testing.T) {
	g := newGuest(t, "true").run(t)
	g.wants(t, vmm.EndPoweredOff, 0)
	var last time.Duration
	names := map[string]bool{}
	for _, e := range g.stats.Timeline {
		if e.At < last {
			t.Errorf("%s at %v, before %v", e.Name, e.At, last)
		}
		last = e.At
		names[e.Name] = true
	}
	for _, name := range []string{vmm.EventVMCreated, vmm.EventLoaded, vmm.EventFirstRun, vmm.EventEnd} {
		if !names[name] {
			t.Errorf("no %q on the timeline", name)
		}
	}
	for _, stage := range []int{guestport.StageInit, guestport.StageReady, guestport.StagePayload, guestport.StagePayloadEnd} {
		if !g.reached(stage) {
			t.Errorf("no mark of stage %d on the timeline", stage)
		}
	}
	if len(g.stats.Exits) == 0 || len(g.stats.Accesses) == 0 {
		t.Errorf("no exits counted: %+v", g.stats)
	}
}

// MICROVM_BOOTS guests in a row boot without a failure; 3 if it is not set.
func TestManyBoots(t *testing.T) {
	n := 3
	if s := os.Getenv("MICROVM_BOOTS"); s != "" {
		var err error
		if n, err = strconv.Atoi(s); err != nil {
			t.Fatalf("MICROVM_BOOTS: %v", err)
		}
	}
	for i := range n {
		g := newGuest(t, "")
		g.Initrd, g.CPUs = artifact(t, "minimal.cpio"), 1+i%4
		g.run(t).wants(t, vmm.EndPoweredOff, 0)
		if t.Failed() {
			t.Fatalf("boot %d of %d failed", i+1, n)
		}
		t.Logf("boot %d of %d: %d vCPUs", i+1, n, g.CPUs)
	}
}
