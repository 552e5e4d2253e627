// Package host finds out what a virtual machine's user must know about the
// host: processor, kernel modules, memory, and who may use /dev/kvm.
package host

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// A Host is what the files under / tell. What cannot be read is left empty.
type Host struct {
	Kernel  string `json:"kernel"` // release of the host's kernel
	CPU     CPU    `json:"cpu"`
	Modules []KVM  `json:"kvm_modules"`
	// Memory in bytes.
	MemoryTotal     uint64 `json:"memory_total"`
	MemoryAvailable uint64 `json:"memory_available"`
	// THP is when transparent huge pages are used: always, madvise or never.
	THP       string    `json:"transparent_huge_pages"`
	HugePages HugePages `json:"huge_pages"`
	Cgroup    Cgroup    `json:"cgroup"`
	// Governor decides the frequency of the first processor, such as
	// "performance"; "" if the host does not scale it, as most virtual machines.
	Governor string `json:"governor"`
	// Mitigations are what the kernel does about each of the processor's
	// weaknesses (sysfs-devices-system-cpu vulnerabilities).
	Mitigations map[string]string `json:"mitigations"`
}

// HugePages are those set aside (hugetlbpage.rst).
type HugePages struct {
	Total uint64 `json:"total"` // number
	Size  uint64 `json:"size"`  // of each in bytes
}

// A Reality is on what a guest of this host runs.
type Reality string

// The realities.
const (
	Metal    Reality = "metal"    // the processor
	Nested   Reality = "nested"   // the processor, of which a hypervisor below this host has its part
	Emulated Reality = "emulated" // a program that emulates a processor: times are good for ratios at most
)

// Reality returns the host's.
func (h *Host) Reality() Reality {
	switch {
	case strings.Contains(h.CPU.Model, "TCG"): // QEMU's emulator says so in the model's name
		return Emulated
	case h.CPU.Hypervisor:
		return Nested
	}
	return Metal
}

// Digest is the SHA-256 of all that decides how fast the host is, in
// hexadecimal: of everything but what changes from minute to minute.
func (h *Host) Digest() string {
	steady := *h
	steady.MemoryAvailable = 0
	steady.Cgroup.Path, steady.Cgroup.MemoryUsed, steady.Cgroup.PIDs = "", 0, 0
	text, err := json.Marshal(steady)
	if err != nil {
		panic(err) // strings and numbers only
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}

// A CPU is the host's processor.
type CPU struct {
	Vendor string `json:"vendor"`
	Model  string `json:"model"`
	Count  int    `json:"count"` // logical processors
	// Virtualization is "VMX" (Intel), "SVM" (AMD), or "" if the processor
	// has neither or its firmware hides it.
	Virtualization string `json:"virtualization"`
	// Hypervisor says that the host is itself a virtual machine.
	Hypervisor bool `json:"hypervisor"`
}

// KVM is a module of the host's KVM with its parameters.
type KVM struct {
	Module     string            `json:"module"`
	Nested     string            `json:"nested,omitempty"` // Y or 1: its guests may use VMX or SVM
	Paging     string            `json:"nested_paging,omitempty"`
	Parameters map[string]string `json:"parameters,omitempty"` // those that this user may read
}

// A Cgroup is the control group of this process, its limits and what it has of
// them.
type Cgroup struct {
	Version     int    `json:"version"` // 1, 2 or 0 for none
	Hybrid      bool   `json:"hybrid"`  // version 2 is mounted beside version 1
	Path        string `json:"path"`
	MemoryLimit uint64 `json:"memory_limit"` // bytes, 0 if there is none
	// MemoryUsed is without page cache that has not been used lately, in bytes.
	MemoryUsed uint64 `json:"memory_used"`
	PIDLimit   uint64 `json:"pid_limit"` // processes and threads, 0 if there is no limit
	PIDs       uint64 `json:"pids"`      // that there are
}

// Read reads the host that root is the root directory of.
func Read(root fs.FS) *Host {
	r := reader{root}
	h := &Host{
		Kernel:  r.line("proc/sys/kernel/osrelease"),
		CPU:     parseCPU(r.bytes("proc/cpuinfo")),
		Modules: r.modules(),
		THP:     chosen(r.line("sys/kernel/mm/transparent_hugepage/enabled")),
		Cgroup:  r.cgroup(),

		Governor:    r.line("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
		Mitigations: r.files("sys/devices/system/cpu/vulnerabilities"),
	}
	memory := ParseMemory(r.bytes("proc/meminfo"))
	h.MemoryTotal, h.MemoryAvailable = memory["MemTotal"], memory["MemAvailable"]
	h.HugePages = HugePages{memory["HugePages_Total"], memory["Hugepagesize"]}
	return h
}

type reader struct{ root fs.FS }

func (r reader) bytes(name string) []byte {
	b, err := fs.ReadFile(r.root, name)
	if err != nil {
		return nil
	}
	return b
}

// line returns a file's text without the white space around it.
func (r reader) line(name string) string { return string(bytes.TrimSpace(r.bytes(name))) }

// files returns the texts of the files in a directory by their names, nil if there
// are none.
func (r reader) files(dir string) map[string]string {
	entries, err := fs.ReadDir(r.root, dir)
	if err != nil {
		return nil
	}
	var texts map[string]string
	for _, e := range entries {
		text, err := fs.ReadFile(r.root, dir+"/"+e.Name())
		if err != nil {
			continue // not for this user
		}
		if texts == nil {
			texts = make(map[string]string)
		}
		texts[e.Name()] = string(bytes.TrimSpace(text))
	}
	return texts
}

// fields calls f for each line of text of the form "name : value" until it
// returns false.
func fields(text []byte, f func(name, value string) bool) {
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		name, value, ok := strings.Cut(s.Text(), ":")
		if ok && !f(strings.TrimSpace(name), strings.TrimSpace(value)) {
			return
		}
	}
}

// parseCPU reads /proc/cpuinfo (proc_cpuinfo(5)).
func parseCPU(text []byte) CPU {
	var c CPU
	fields(text, func(name, value string) bool {
		switch name {
		case "processor":
			c.Count++
		case "vendor_id":
			c.Vendor = value
		case "model name":
			c.Model = value
		case "flags":
			if c.Count > 1 { // the same as of the first
				break
			}
			flags := strings.Fields(value)
			switch {
			case slices.Contains(flags, "vmx"):
				c.Virtualization = "VMX"
			case slices.Contains(flags, "svm"):
				c.Virtualization = "SVM"
			}
			c.Hypervisor = slices.Contains(flags, "hypervisor")
		}
		return true
	})
	return c
}

// ParseMemory reads /proc/meminfo or a file like it (proc_meminfo(5)): amounts
// in bytes, and numbers, by their names.
func ParseMemory(text []byte) map[string]uint64 {
	amounts := make(map[string]uint64)
	fields(text, func(name, value string) bool {
		number, isKiB := strings.CutSuffix(value, " kB")
		n, err := strconv.ParseUint(number, 10, 54)
		if err != nil {
			return true
		}
		if isKiB {
			n <<= 10
		}
		amounts[name] = n
		return true
	})
	return amounts
}

// modules lists KVM's modules, loaded or built in.
func (r reader) modules() []KVM {
	all := []KVM{} // an empty list in JSON, not null
	dirs, err := fs.Glob(r.root, "sys/module/kvm*")
	if err != nil {
		return all
	}
	for _, dir := range dirs {
		m := KVM{Module: strings.TrimPrefix(dir, "sys/module/"), Parameters: r.files(dir + "/parameters")}
		m.Nested = m.Parameters["nested"]
		switch m.Module {
		case "kvm_intel":
			m.Paging = m.Parameters["ept"]
		case "kvm_amd":
			m.Paging = m.Parameters["npt"]
		}
		all = append(all, m)
	}
	return all
}

// chosen returns the word in brackets of a kernel setting such as "always
// [madvise] never".
func chosen(setting string) string {
	_, rest, _ := strings.Cut(setting, "[")
	word, _, ok := strings.Cut(rest, "]")
	if !ok {
		return ""
	}
	return word
}

// cgroup reads /proc/self/cgroup (cgroups(7)) and the limit of memory.
func (r reader) cgroup() Cgroup {
	var c Cgroup
	var one, two bool
	for line := range strings.Lines(string(r.bytes("proc/self/cgroup"))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		path, controllers := parts[2], strings.Split(parts[1], ",")
		switch {
		case parts[0] == "0" && parts[1] == "":
			two = true
			if !one {
				dir := "sys/fs/cgroup" + path
				c.Version, c.Path = 2, path
				c.setMemory(r, dir+"/memory.max", dir+"/memory.current", dir+"/memory.stat")
				c.setPIDs(r, dir)
			}
		case slices.Contains(controllers, "memory"):
			one = true
			dir := "sys/fs/cgroup/memory" + path
			c.Version, c.Path = 1, path
			c.setMemory(r, dir+"/memory.limit_in_bytes", dir+"/memory.usage_in_bytes", dir+"/memory.stat")
		case slices.Contains(controllers, "pids"):
			c.setPIDs(r, "sys/fs/cgroup/pids"+path)
		}
	}
	c.Hybrid = one && two
	return c
}

// setMemory reads a group's limit and use of memory.
func (c *Cgroup) setMemory(r reader, limit, used, stat string) {
	c.MemoryLimit, c.MemoryUsed = r.limit(limit), r.limit(used)
	for line := range strings.Lines(string(r.bytes(clean(stat)))) {
		if text, ok := strings.CutPrefix(line, "inactive_file "); ok {
			if idle, err := strconv.ParseUint(strings.TrimSpace(text), 10, 64); err == nil {
				c.MemoryUsed -= min(c.MemoryUsed, idle)
			}
		}
	}
}

func (c *Cgroup) setPIDs(r reader, dir string) {
	c.PIDLimit, c.PIDs = r.limit(dir+"/pids.max"), r.limit(dir+"/pids.current")
}

// noLimit is about what version 1 has where there is no limit: the largest
// multiple of a page below 2^63.
const noLimit = 1 << 62

func (r reader) limit(name string) uint64 {
	n, err := strconv.ParseUint(r.line(clean(name)), 10, 64)
	if err != nil || n >= noLimit {
		return 0
	}
	return n
}

// clean makes a name of the file system of one with the path of a root group in it.
func clean(name string) string { return strings.ReplaceAll(name, "//", "/") }
