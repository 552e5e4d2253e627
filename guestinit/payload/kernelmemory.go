package main

import (
	"bytes"
	"errors"
	"os"
	"strconv"

	"microvm/guestinit/payload/protocol"
)

// kernelMemory says how much memory the payload's kernel has and uses.
func kernelMemory() error {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return err
	}
	total, found := meminfo(text, "MemTotal")
	available, foundToo := meminfo(text, "MemAvailable")
	if !found || !foundToo {
		return errors.New("/proc/meminfo says nothing of MemTotal or MemAvailable")
	}
	tell(&protocol.Result{Metric: protocol.KernelMemory, Unit: protocol.Bytes, Value: float64(total)})
	tell(&protocol.Result{Metric: protocol.KernelMemoryUsed, Unit: protocol.Bytes, Value: float64(total - available)})
	return nil
}

// meminfo returns an amount of proc_meminfo(5) in bytes.
func meminfo(text []byte, name string) (amount uint64, ok bool) {
	for line := range bytes.Lines(text) {
		words := bytes.Fields(line)
		if len(words) == 3 && string(words[0]) == name+":" && string(words[2]) == "kB" {
			n, err := strconv.ParseUint(string(words[1]), 10, 54)
			return n << 10, err == nil
		}
	}
	return 0, false
}
