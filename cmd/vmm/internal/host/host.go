// Package host finds out what a virtual machine's user must know about the
// host: processor, kernel modules, memory, and who may use /dev/kvm.
package host

import (
	"bufio"
	"bytes"
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
	THP    string `json:"transparent_huge_pages"`
	Cgroup Cgroup `json:"cgroup"`
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

// KVM is a module of the host's KVM, and those of its parameters that matter.
type KVM struct {
	Module string `json:"module"`
	Nested string `json:"nested,omitempty"` // Y or 1: its guests may use VMX or SVM
	Paging string `json:"nested_paging,omitempty"`
}

// A Cgroup is the control group of this process, and its limit of memory in
// bytes, 0 if it has none.
type Cgroup struct {
	Version     int    `json:"version"` // 1, 2 or 0 for none
	Path        string `json:"path"`
	MemoryLimit uint64 `json:"memory_limit"`
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
	}
	h.MemoryTotal, h.MemoryAvailable = parseMemory(r.bytes("proc/meminfo"))
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

// parseMemory reads /proc/meminfo (proc_meminfo(5)), whose unit is KiB.
func parseMemory(text []byte) (total, available uint64) {
	fields(text, func(name, value string) bool {
		n, err := strconv.ParseUint(strings.TrimSuffix(value, " kB"), 10, 54)
		if err != nil {
			return true
		}
		switch name {
		case "MemTotal":
			total = n << 10
		case "MemAvailable":
			available = n << 10
			return false
		}
		return true
	})
	return total, available
}

// modules lists KVM's modules, loaded or built in.
func (r reader) modules() []KVM {
	all := []KVM{} // an empty list in JSON, not null
	dirs, err := fs.Glob(r.root, "sys/module/kvm*")
	if err != nil {
		return all
	}
	for _, dir := range dirs {
		m := KVM{Module: strings.TrimPrefix(dir, "sys/module/"), Nested: r.line(dir + "/parameters/nested")}
		switch m.Module {
		case "kvm_intel":
			m.Paging = r.line(dir + "/parameters/ept")
		case "kvm_amd":
			m.Paging = r.line(dir + "/parameters/npt")
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
	for line := range strings.Lines(string(r.bytes("proc/self/cgroup"))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case parts[0] == "0" && parts[1] == "" && c.Version == 0:
			c = Cgroup{Version: 2, Path: parts[2], MemoryLimit: r.limit("sys/fs/cgroup" + parts[2] + "/memory.max")}
		case slices.Contains(strings.Split(parts[1], ","), "memory"):
			return Cgroup{Version: 1, Path: parts[2],
				MemoryLimit: r.limit("sys/fs/cgroup/memory" + parts[2] + "/memory.limit_in_bytes")}
		}
	}
	return c
}

// noLimit is about what version 1 has where there is no limit: the largest
// multiple of a page below 2^63.
const noLimit = 1 << 62

func (r reader) limit(name string) uint64 {
	n, err := strconv.ParseUint(r.line(strings.ReplaceAll(name, "//", "/")), 10, 64)
	if err != nil || n >= noLimit {
		return 0
	}
	return n
}
