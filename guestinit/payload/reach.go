package main

import (
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"microvm/guestinit/payload/protocol"
)

// reach says what of the world the payload can see. What cannot be seen for want
// of a file system such as proc is not said, but for files and devices: those
// are none.
func reach() error {
	count(protocol.Files, countTree("/", protocol.MaxFiles, func(fs.FileMode) bool { return true }))
	count(protocol.Devices, countTree("/dev", protocol.MaxFiles, func(m fs.FileMode) bool { return m&fs.ModeDevice != 0 }))
	countEntries(protocol.BlockDevices, "/sys/class/block")
	countEntries(protocol.NetworkInterfaces, "/sys/class/net")
	if mounts, err := os.ReadFile("/proc/self/mounts"); err == nil {
		count(protocol.Mounts, strings.Count(string(mounts), "\n"))
	}
	namespaces()
	if status, err := os.ReadFile("/proc/self/status"); err == nil {
		return limits(string(status))
	}
	return nil
}

// countTree returns how many files below top are counted, at most limit. It
// leaves out proc and sys, whose files are no files.
func countTree(top string, limit int, counted func(fs.FileMode) bool) (n int) {
	_ = filepath.WalkDir(top, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil && entry != nil && entry.IsDir(), name == "/proc", name == "/sys":
			return fs.SkipDir // what cannot be read is out of reach
		case err != nil:
			return nil
		case n == limit:
			return fs.SkipAll
		case name != top && counted(entry.Type()):
			n++
		}
		return nil
	})
	return n
}

func countEntries(metric, dir string) {
	if entries, err := os.ReadDir(dir); err == nil {
		count(metric, len(entries))
	}
}

// namespaces says of which namespaces the payload is; who shares one has the
// same number.
func namespaces() {
	const dir = "/proc/self/ns"
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range entries {
		if strings.HasSuffix(entry.Name(), "_for_children") {
			continue // the payload has none
		}
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			text(protocol.Namespace, target)
		}
	}
}

// limits says what the kernel denies the payload, by its status as proc(5) has
// it.
func limits(status string) error {
	for line := range strings.Lines(status) {
		field, value, _ := strings.Cut(strings.TrimSpace(line), ":\t")
		metric, base := "", 10
		switch field {
		case "CapEff":
			metric, base = protocol.Capabilities, 16
		case "Seccomp":
			metric = protocol.Seccomp
		case "NoNewPrivs":
			metric = protocol.NoNewPrivileges
		default:
			continue
		}
		n, err := strconv.ParseUint(value, base, 64)
		if err != nil {
			return err
		}
		if metric == protocol.Capabilities {
			n = uint64(bits.OnesCount64(n))
		}
		count(metric, int(n))
	}
	return nil
}
