package kvm

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strings"
)

// A Stat is one of KVM's own counts of what a vCPU did, under KVM's name, such
// as "exits" or "halt_wakeup". Most of what a guest leaves its processor for
// KVM answers itself: user space sees it here only.
type Stat struct {
	Name  string
	Value uint64
}

// The binary statistics file (kvm-api KVM_GET_STATS_FD): a header, the name of
// its owner, descriptors, values.
const (
	statsHeaderSize = 24 // struct kvm_stats_header
	statsDescSize   = 16 // struct kvm_stats_desc without its name

	// maxStats and maxStatName bound what a file is believed to hold. Linux
	// 6.18 has fewer than 50 statistics with names of 48 bytes.
	maxStats    = 1024
	maxStatName = 256

	statTypeMask      = 0xf // of a descriptor's flags
	statTypeLastPlain = 2   // cumulative, instant and peak are 0 to 2; the others are histograms
)

// openStats opens the vCPU's statistics file. It must be done before the vCPU
// runs: in a guest that sleeps the ioctl would wait for the end of KVM_RUN, and
// reading the file does not.
func (c *VCPU) openStats() {
	fd, err := ioctlValue(c.fd, reqGetStatsFD, 0)
	if err != nil {
		c.statsErr = err
		return
	}
	c.stats = os.NewFile(uintptr(fd), "KVM statistics")
}

// Stats returns the counts so far, in KVM's order, without its histograms. It may
// be called while Run is running. Not every host has them: see
// [CapBinaryStatsFD].
func (c *VCPU) Stats() ([]Stat, error) {
	if c.statsErr != nil {
		return nil, c.statsErr
	}
	stats, err := readStats(c.stats)
	if err != nil {
		return nil, fmt.Errorf("kvm: statistics: %w", err)
	}
	return stats, nil
}

// readStats reads a statistics file.
func readStats(f io.ReaderAt) ([]Stat, error) {
	var header [statsHeaderSize]byte
	if _, err := f.ReadAt(header[:], 0); err != nil {
		return nil, err
	}
	var ( // word 0 has flags, word 3 where the owner's name is
		nameSize    = u32(header[:], 4)
		count       = u32(header[:], 8)
		descriptors = int64(u32(header[:], 16))
		values      = int64(u32(header[:], 20))
	)
	if count > maxStats || nameSize > maxStatName {
		return nil, fmt.Errorf("%d of them, with names of %d bytes", count, nameSize)
	}
	size := statsDescSize + int(nameSize)
	table := make([]byte, int(count)*size)
	if _, err := f.ReadAt(table, descriptors); err != nil {
		return nil, err
	}
	var stats []Stat
	for ; len(table) > 0; table = table[size:] {
		// flags 32 bits, exponent 16, number of values 16, their offset
		// 32, width of a bucket 32, name
		if u32(table, 0)&statTypeMask > statTypeLastPlain {
			continue
		}
		var value [8]byte
		if _, err := f.ReadAt(value[:], values+int64(u32(table, 8))); err != nil {
			return nil, err
		}
		name, _, _ := strings.Cut(string(table[statsDescSize:size]), "\x00")
		stats = append(stats, Stat{Name: name, Value: binary.LittleEndian.Uint64(value[:])})
	}
	return stats, nil
}
