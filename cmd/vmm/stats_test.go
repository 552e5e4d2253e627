package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"microvm/vmm"
)

func TestStatsOfNothing(t *testing.T) {
	wants(t, "statistics", statsText(vmm.Stats{}), "timeline", "all", "0 bytes in")
}

func TestStatsTableIsBounded(t *testing.T) {
	var s vmm.Stats
	for i := range maxAccesses + 5 {
		s.Accesses = append(s.Accesses, vmm.Access{Device: fmt.Sprint("d", i), Space: vmm.SpaceMMIO, Count: 1})
	}
	text := statsText(s)
	wants(t, "statistics", text, fmt.Sprintf("d%d+", maxAccesses-1), "5 more")
	if strings.Contains(text, fmt.Sprintf("d%d+", maxAccesses)) {
		t.Errorf("too many registers:\n%s", text)
	}
}

func TestProcessStartIsInThePast(t *testing.T) {
	now := time.Now()
	if s := processStart(); s.After(time.Now()) || now.Sub(s) > maxStart {
		t.Errorf("started %v before now, want 0 to %v", now.Sub(s), maxStart)
	}
}
