package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"microvm/cmd/internal/size"
	"microvm/cmd/vmm/internal/host"
	"microvm/cmd/vmm/internal/probe"
	"microvm/kvm"
	"microvm/vmm"
)

var doctorCommand = &command{
	name:    "doctor",
	summary: "tell what this host's KVM offers, and what to do if it is not enough",
	usage:   "doctor [--json]",
	about: `Looks at /dev/kvm, the processor and the host's settings, and measures with a
tiny guest whether guest kernel code runs on the processor itself, and what an
exit from guest to monitor and back costs. It changes nothing.`,
	examples: [][2]string{
		{"vmm doctor", "is this host all right?"},
		{"vmm doctor --json > host.json", "to go with measurements"},
	},
	statuses: []exitStatus{
		{0, "a stock kernel boots here at full speed"},
		{1, "it does not; the advice at the end says what to do"},
	},
	setUp: func(f *flags) runner {
		var asJSON bool
		f.boolVar(&asJSON, "json", "for a program")
		return func(a *app, args []string) error {
			if err := errors.Join(f.check(), noArguments(args)); err != nil {
				return err
			}
			return a.doctor(asJSON)
		}
	},
}

// devicePath is where a Linux host has its KVM.
const devicePath = "/dev/kvm"

// How long doctor measures.
const (
	speedTime = 50 * time.Millisecond
	exitTime  = 200 * time.Millisecond
	maxExits  = 10000
)

// A findings is what doctor found.
type findings struct {
	OK     bool         `json:"ok"`     // a stock kernel boots at full speed
	Advice []string     `json:"advice"` // what to do if not
	Device *host.Device `json:"device"`
	KVM    *kvmFindings `json:"kvm,omitempty"` // nil if it cannot be used
	Host   *host.Host   `json:"host"`
}

// kvmFindings are what KVM itself says, and what was measured.
type kvmFindings struct {
	APIVersion   int          `json:"api_version"`
	MaxCPUs      int          `json:"max_cpus"`
	GoodCPUs     int          `json:"recommended_max_cpus"`
	Capabilities []capability `json:"capabilities"`
	Speed        *probe.Speed `json:"speed,omitempty"`
	Hardware     bool         `json:"hardware"` // guest kernel code runs on the processor itself
	ExitNS       int64        `json:"exit_ns"`  // guest to monitor and back, median, 0 if it could not be measured
	Problems     []string     `json:"problems"`
}

// A capability is one that KVM has or lacks.
type capability struct {
	Name   string `json:"name"`
	Value  int    `json:"value"` // 0 if KVM lacks it
	Needed bool   `json:"needed"`
	For    string `json:"for"`
}

// liked are capabilities that a machine can do without.
var liked = []vmm.Need{
	{Cap: kvm.CapTSCDeadlineTimer, Why: "a timer that the guest need not calibrate"},
	{Cap: kvm.CapAdjustClock, Why: "a clock that the guest need not calibrate"},
	{Cap: kvm.CapGetTSCKHz, Why: "telling the guest its clock's frequency"},
	{Cap: kvm.CapIRQFD, Why: "interrupts of what the host's kernel carries, such as vhost-net"},
	{Cap: kvm.CapIOEventFD, Why: "notifications without an exit to the monitor"},
	{Cap: kvm.CapSignalMSI, Why: "message-signalled interrupts"},
	{Cap: kvm.CapReadOnlyMem, Why: "read-only guest memory"},
	{Cap: kvm.CapSyncRegs, Why: "registers without a system call"},
	{Cap: kvm.CapXSave, Why: "saving a guest's extended registers"},
	{Cap: kvm.CapManualDirtyLogProtect2, Why: "finding out what a guest has written"},
	{Cap: kvm.CapX86DisableExits, Why: "a guest that idles without exits"},
	{Cap: kvm.CapHaltPoll, Why: "limiting how long an idle processor is polled"},
	{Cap: kvm.CapExitOnEmulationFailure, Why: "telling which instruction could not be emulated"},
	{Cap: kvm.CapVMDisableNXHugePages, Why: "faster creation of machines in a cgroup"},
}

func (a *app) doctor(asJSON bool) error {
	found := examine()
	var err error
	if asJSON {
		err = writeJSON(a.stdout, found)
	} else {
		_, err = io.WriteString(a.stdout, found.text())
	}
	if err == nil && !found.OK {
		return statusError(vmm.StatusFailure)
	}
	return err
}

// examine looks at everything.
func examine() *findings {
	found := &findings{Host: host.Read(os.DirFS("/")), Advice: []string{}}
	found.Device = host.ReadDevice(devicePath, found.Host.CPU)
	if found.Device.Usable {
		sys, err := kvm.Open()
		if err != nil {
			found.Device.Usable, found.Device.Problem = false, err.Error()
		} else {
			defer sys.Close()
			found.KVM = askKVM(sys)
		}
	}
	found.advise()
	return found
}

// askKVM asks for capabilities, and measures.
func askKVM(sys *kvm.System) *kvmFindings {
	k := &kvmFindings{Problems: []string{}}
	failed := func(err error) {
		k.Problems = append(k.Problems, err.Error())
	}
	check := func(c kvm.Cap) int {
		n, err := sys.Check(c)
		if err != nil {
			failed(err)
		}
		return n
	}
	version, err := sys.APIVersion()
	if err != nil {
		failed(err)
	}
	k.APIVersion = version
	k.GoodCPUs, k.MaxCPUs = check(kvm.CapNrVCPUs), check(kvm.CapMaxVCPUs)
	for _, n := range vmm.Needs() {
		k.Capabilities = append(k.Capabilities, capability{n.Cap.String(), check(n.Cap), true, n.Why})
	}
	for _, n := range liked {
		k.Capabilities = append(k.Capabilities, capability{n.Cap.String(), check(n.Cap), false, n.Why})
	}
	if speed, err := probe.MeasureSpeed(sys, speedTime); err != nil {
		failed(fmt.Errorf("a tiny guest: %w", err))
	} else {
		k.Speed, k.Hardware = &speed, speed.Hardware()
	}
	if cost, err := probe.MeasureExit(sys, maxExits, exitTime); err != nil {
		failed(fmt.Errorf("a tiny guest: %w", err))
	} else {
		k.ExitNS = cost.Nanoseconds()
	}
	return k
}

// advise judges what was found.
func (found *findings) advise() {
	say := func(format string, args ...any) { found.Advice = append(found.Advice, fmt.Sprintf(format, args...)) }
	k := found.KVM
	if k == nil {
		say("%s", found.Device.Problem)
		if found.Device.Fix != "" {
			say("to mend it: %s", found.Device.Fix)
		}
		say("without it: kvmhost -- vmm boot … runs on an emulated host, slowly")
		return
	}
	for _, p := range k.Problems {
		say("%s", p)
	}
	for _, c := range k.Capabilities {
		if c.Needed && c.Value == 0 {
			say("KVM lacks %s, needed for %s; a newer host kernel has it", c.Name, c.For)
		}
	}
	if k.Speed != nil && !k.Hardware {
		say("this KVM interprets guest kernel code, %.0f times slower than the processor: a stock kernel takes minutes and may not get to its end",
			k.Speed.Native/max(k.Speed.Guest, 1))
		say("to run it faster, on an emulated host with a real KVM: kvmhost -- vmm boot …")
	}
	found.OK = len(found.Advice) == 0
}

// text is what a person reads.
func (found *findings) text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-14s %s\n", name, fmt.Sprintf(format, args...))
	}
	describeHost(line, found.Host)
	describeDevice(line, found.Device)
	if found.KVM != nil {
		describeKVM(line, found.KVM)
	}
	b.WriteString("\n")
	if found.OK {
		b.WriteString("A stock kernel boots here at full speed.\n")
		return b.String()
	}
	b.WriteString("A stock kernel does not boot here at full speed:\n")
	for _, advice := range found.Advice {
		fmt.Fprintf(&b, "  - %s\n", advice)
	}
	return b.String()
}

// A liner writes one named line of a report.
type liner func(name, format string, args ...any)

func describeHost(line liner, h *host.Host) {
	virtualization := h.CPU.Virtualization
	if virtualization == "" {
		virtualization = "neither VMX nor SVM"
	}
	if h.CPU.Hypervisor {
		virtualization += ", itself in a virtual machine"
	}
	line("host", "Linux %s", h.Kernel)
	line("processor", "%s, %d logical, %s", h.CPU.Model, h.CPU.Count, virtualization)
	limit := "no limit"
	if h.Cgroup.MemoryLimit > 0 {
		limit = "limit " + size.Human(h.Cgroup.MemoryLimit)
	}
	line("memory", "%s, %s of it available; huge pages: %s", size.Human(h.MemoryTotal), size.Human(h.MemoryAvailable), orUnknown(h.THP))
	if h.Cgroup.Version > 0 {
		line("cgroup", "version %d, %s, %s of memory", h.Cgroup.Version, h.Cgroup.Path, limit)
	}
	var modules []string
	for _, m := range h.Modules {
		text := m.Module
		if m.Nested != "" {
			text += " (nested " + m.Nested + ")"
		}
		modules = append(modules, text)
	}
	line("KVM modules", "%s", orUnknown(strings.Join(modules, ", ")))
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func describeDevice(line liner, d *host.Device) {
	if !d.Exists {
		line(d.Path, "does not exist")
		return
	}
	usable := "usable by you"
	if !d.Usable {
		usable = "not usable by you"
	}
	line(d.Path, "%s %s:%s, %s", d.Mode, d.Owner, d.Group, usable)
}

func describeKVM(line liner, k *kvmFindings) {
	line("KVM API", "version %d, at most %d processors a machine, %d recommended", k.APIVersion, k.MaxCPUs, k.GoodCPUs)
	if s := k.Speed; s != nil {
		where := "interpreted"
		if k.Hardware {
			where = "on the processor itself"
		}
		line("guest kernel", "%s: %.0f million instructions a second, natively %.0f", where, s.Guest/1e6, s.Native/1e6)
	}
	if k.ExitNS > 0 {
		line("exit", "%v to the monitor and back", time.Duration(k.ExitNS))
	}
	for _, c := range k.Capabilities {
		state := "yes"
		switch {
		case c.Value == 0 && c.Needed:
			state = "MISSING"
		case c.Value == 0:
			state = "no"
		}
		line("", "%-34s %-8s %s", c.Name, state, c.For)
	}
}
