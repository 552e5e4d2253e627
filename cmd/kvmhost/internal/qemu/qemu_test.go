package qemu

import (
	"slices"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	args := arguments(Config{
		CPUs: 3, MemoryMiB: 2048, CommandLine: "quiet",
		Directories: []Directory{{Path: "/", Tag: "root", ReadOnly: true}, {Path: "/a,b", Tag: "share"}},
		Ports:       []string{"one", "two"},
	})
	line := strings.Join(args, " ")
	for _, want := range []string{
		"-smp 3", "-m 2048", "-kernel /dev/fd/3", "-append quiet", "-initrd /dev/fd/4", "path=/dev/fd/5",
		"id=fs0,path=/,security_model=none,multidevs=remap,readonly=on",
		"id=fs1,path=/a,,b,security_model=none,multidevs=remap -device", // writable, its comma doubled
		"fsdev=fs1,mount_tag=share",
		"socket,id=port1,fd=7", "chardev=port1,nr=2,name=two",
	} {
		if !strings.Contains(line, want) {
			t.Errorf("no %q in %q", want, line)
		}
	}
	if i := slices.Index(args, "-cpu"); !strings.HasPrefix(args[i+1], "max") {
		t.Errorf("CPU model %s has no SVM under TCG", args[i+1])
	}
}

func TestMissingProgram(t *testing.T) {
	t.Setenv("PATH", "/nonexistent")
	if _, err := Start(Config{}); err == nil || !strings.Contains(err.Error(), Install) {
		t.Errorf("error %v does not say how to install QEMU", err)
	}
}
