package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"syscall"

	"microvm/cmd/kvmhost/internal/command"
)

// realKVM returns nil if guests on this host run in hardware, or else the
// reason why not. That /dev/kvm exists is not enough: there are modules that
// offer it without the processor's help, and interpret guests' kernels.
func realKVM() error {
	cpuinfo, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return err
	}
	defer cpuinfo.Close()
	module := kvmModule(cpuinfo)
	if module == "" {
		return fmt.Errorf("the processor has neither VMX nor SVM")
	}
	if _, err := os.Stat("/sys/module/" + module); err != nil {
		return fmt.Errorf("the kernel module %s is not loaded", module)
	}
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return kvm.Close()
}

// kvmModule returns the name of the KVM module for the processor that cpuinfo,
// in the format of /proc/cpuinfo, describes. It is empty if that processor has
// no virtualisation.
func kvmModule(cpuinfo io.Reader) string {
	lines := bufio.NewScanner(cpuinfo)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		flags := strings.Fields(value)
		switch {
		case slices.Contains(flags, "vmx"):
			return "kvm_intel"
		case slices.Contains(flags, "svm"):
			return "kvm_amd"
		}
		return ""
	}
	return ""
}

// runHere turns this process into the command. It returns only if it cannot.
func runHere(args []string) error {
	env := os.Environ()
	file, err := command.Find(args[0], env)
	if err != nil {
		return err
	}
	return command.NewError(args[0], syscall.Exec(file, args, env))
}
