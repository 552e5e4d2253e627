package host

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
)

func tree(files map[string]string) fstest.MapFS {
	fs := make(fstest.MapFS)
	for name, text := range files {
		fs[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fs
}

func TestRead(t *testing.T) {
	got := Read(tree(map[string]string{
		"proc/sys/kernel/osrelease": "6.1.0-56-amd64\n",
		"proc/cpuinfo": "processor\t: 0\nvendor_id\t: GenuineIntel\nmodel name\t: A processor @ 2.00GHz\nflags\t\t: fpu vmx sse2\n\n" +
			"processor\t: 1\nvendor_id\t: GenuineIntel\nmodel name\t: A processor @ 2.00GHz\nflags\t\t: fpu vmx sse2\n",
		"proc/meminfo":                                "MemTotal:       16000 kB\nMemFree: 1 kB\nMemAvailable:    8000 kB\nHugePages_Total:   7\nHugepagesize: 2048 kB\n",
		"proc/self/cgroup":                            "0::/user.slice\n",
		"sys/fs/cgroup/user.slice/memory.max":         "1073741824\n",
		"sys/fs/cgroup/user.slice/memory.current":     "9000\n",
		"sys/fs/cgroup/user.slice/memory.stat":        "anon 5\ninactive_file 4000\n",
		"sys/fs/cgroup/user.slice/pids.max":           "max\n",
		"sys/fs/cgroup/user.slice/pids.current":       "12\n",
		"sys/kernel/mm/transparent_hugepage/enabled":  "always [madvise] never\n",
		"sys/module/kvm/parameters/halt_poll_ns":      "200000\n",
		"sys/module/kvm_intel/parameters/nested":      "Y\n",
		"sys/module/kvm_intel/parameters/ept":         "Y\n",
		"sys/module/other/parameters/nothing_of_ours": "\n",

		"sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
		"sys/devices/system/cpu/vulnerabilities/meltdown":      "Mitigation: PTI\n",
	}))
	want := &Host{
		Kernel: "6.1.0-56-amd64",
		CPU:    CPU{Vendor: "GenuineIntel", Model: "A processor @ 2.00GHz", Count: 2, Virtualization: "VMX"},
		Modules: []KVM{
			{Module: "kvm", Parameters: map[string]string{"halt_poll_ns": "200000"}},
			{Module: "kvm_intel", Nested: "Y", Paging: "Y", Parameters: map[string]string{"nested": "Y", "ept": "Y"}},
		},
		MemoryTotal: 16000 << 10, MemoryAvailable: 8000 << 10,
		THP:         "madvise",
		HugePages:   HugePages{7, 2 << 20},
		Cgroup:      Cgroup{Version: 2, Path: "/user.slice", MemoryLimit: 1 << 30, MemoryUsed: 5000, PIDs: 12},
		Governor:    "performance",
		Mitigations: map[string]string{"meltdown": "Mitigation: PTI"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestReadOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		files map[string]string
		check func(*Host) bool
	}{
		{"nothing", nil, func(h *Host) bool { return reflect.DeepEqual(h, &Host{Modules: []KVM{}}) }},
		{"AMD in a virtual machine", map[string]string{"proc/cpuinfo": "processor: 0\nflags: svm hypervisor\n"},
			func(h *Host) bool { return h.CPU.Virtualization == "SVM" && h.CPU.Hypervisor }},
		{"no virtualization", map[string]string{"proc/cpuinfo": "processor: 0\nflags: svmx\n"},
			func(h *Host) bool { return h.CPU.Virtualization == "" }},
		{"cgroup 1 beside 2", map[string]string{
			"proc/self/cgroup": "4:memory,cpu:/a\n0::/b\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes": "4096\n"},
			func(h *Host) bool { return h.Cgroup == Cgroup{Version: 1, Hybrid: true, Path: "/a", MemoryLimit: 4096} }},
		{"no limit", map[string]string{
			"proc/self/cgroup": "4:memory:/\n", "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"},
			func(h *Host) bool { return h.Cgroup == Cgroup{Version: 1, Path: "/"} }},
		{"max", map[string]string{"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n"},
			func(h *Host) bool { return h.Cgroup == Cgroup{Version: 2, Path: "/"} }},
		{"nonsense", map[string]string{
			"proc/cpuinfo": "::\n\x00", "proc/meminfo": "MemTotal: -1 kB\nMemAvailable: 99999999999999999999 kB",
			"proc/self/cgroup": "\n:\n", "sys/kernel/mm/transparent_hugepage/enabled": "[always"},
			func(h *Host) bool { return h.MemoryTotal == 0 && h.THP == "" && h.Cgroup == Cgroup{} }},
	} {
		if h := Read(tree(tt.files)); !tt.check(h) {
			t.Errorf("%s: got %+v", tt.name, h)
		}
	}
}

// TestDigest: hosts that measure alike have the same digest, others have not.
func TestDigest(t *testing.T) {
	host := Host{CPU: CPU{Model: "a"}, Mitigations: map[string]string{"meltdown": "Vulnerable"}, MemoryAvailable: 1}
	later, mitigated := host, host
	later.MemoryAvailable, later.Cgroup.Path = 2, "/other"
	mitigated.Mitigations = map[string]string{"meltdown": "Mitigation: PTI"}
	if host.Digest() != later.Digest() {
		t.Error("the digest changes with what changes every minute")
	}
	if host.Digest() == mitigated.Digest() {
		t.Error("a mitigation does not change the digest")
	}
}

func TestReality(t *testing.T) {
	for _, tt := range []struct {
		cpu  CPU
		want Reality
	}{
		{CPU{Model: "A processor"}, Metal},
		{CPU{Model: "A processor", Hypervisor: true}, Nested},
		{CPU{Model: "QEMU TCG CPU version 2.5+", Hypervisor: true}, Emulated},
	} {
		if got := (&Host{CPU: tt.cpu}).Reality(); got != tt.want {
			t.Errorf("%+v: %v, want %v", tt.cpu, got, tt.want)
		}
	}
}

func TestDeviceMissing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kvm")
	for _, tt := range []struct {
		cpu          CPU
		problem, fix string
	}{
		{CPU{Virtualization: "VMX"}, "module is not loaded", "sudo modprobe kvm_intel"},
		{CPU{Virtualization: "SVM", Hypervisor: true}, "module is not loaded", "sudo modprobe kvm_amd"},
		{CPU{Hypervisor: true}, "nested virtualization", ""},
		{CPU{}, "firmware", ""},
	} {
		d := ReadDevice(path, tt.cpu)
		if d.Exists || d.Usable || !strings.Contains(d.Problem, tt.problem) || d.Fix != tt.fix {
			t.Errorf("%+v: got %+v", tt.cpu, d)
		}
	}
}

func TestDevice(t *testing.T) {
	if d := ReadDevice(os.DevNull, CPU{}); !d.Exists || !d.Usable || d.Owner != "root" || d.Mode != "crw-rw-rw-" || d.Problem != "" {
		t.Errorf("the null device: %+v", d)
	}
	file := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := ReadDevice(file, CPU{}); d.Usable || !strings.Contains(d.Problem, "not a character device") {
		t.Errorf("a file: %+v", d)
	}
}

func TestPermit(t *testing.T) {
	if got := permit(os.ModeDevice|0o660, "kvm", 104); !strings.Contains(got, "usermod -aG kvm $USER") {
		t.Errorf("a group that may: %q", got)
	}
	for _, tt := range []struct {
		mode os.FileMode
		gid  uint32
	}{{0o600, 104}, {0o660, 0}} {
		if got := permit(tt.mode, "g", tt.gid); !strings.Contains(got, "setfacl") {
			t.Errorf("mode %v, group %d: %q", tt.mode, tt.gid, got)
		}
	}
}
