package experiment

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

func TestPowers(t *testing.T) {
	for most, want := range map[int][]int{1: {1}, 2: {1, 2}, 5: {1, 2, 4, 5}, 8: {1, 2, 4, 8}} {
		if got := powers(most); !slices.Equal(got, want) {
			t.Errorf("powers(%d) = %v, want %v", most, got, want)
		}
	}
}

// value is the only value of an arm's metric with n instances.
func (n *notebook) value(t *testing.T, arm, metric string, instances int) float64 {
	t.Helper()
	var values []float64
	for _, s := range n.of(arm, metric) {
		if s.Instances == instances && s.Failed == "" {
			values = append(values, s.Value)
		}
	}
	if len(values) != 1 {
		t.Fatalf("%s %s of %d instances: %v, want one value", arm, metric, instances, values)
	}
	return values[0]
}

// TestMemory: the sums are of all processes of all instances, in the order that
// their definitions give them.
func TestMemory(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 3), armtest.Fake{Named: "a", Script: armtest.Hold}, armtest.Fake{Named: "failing", Script: "exit 3"},
		armtest.Fake{Named: "guest", Script: armtest.Hold, Is: arm.VM},
		armtest.Fake{Named: "telling", Script: armtest.Begin + "echo RESULT kernel-memory B 100; echo RESULT kernel-memory-used B 30; echo TEXT waits input; cat; " + armtest.End, Is: arm.VM})
	if err := Memory.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for _, count := range []int{1, 2, 3} {
		at := func(metric string) float64 { return n.value(t, "a", metric, count) }
		if !(0 < at(MemoryUSS) && at(MemoryUSS) <= at(MemoryPSS) && at(MemoryPSS) <= at(MemoryRSS) && at(MemoryRSS) <= at(MemoryVSS)) {
			t.Errorf("%d instances: USS %g, PSS %g, RSS %g, VSS %g", count, at(MemoryUSS), at(MemoryPSS), at(MemoryRSS), at(MemoryVSS))
		}
		if got := n.value(t, "telling", MemoryGuestUsed, count); got != float64(30*count) {
			t.Errorf("%d guests that use 30 bytes each use %g", count, got)
		}
	}
	// A shell and its cat, three times.
	if one, three := n.value(t, "a", MemoryVSS, 1), n.value(t, "a", MemoryVSS, 3); three < 2.9*one || three > 3.1*one {
		t.Errorf("one instance has %g bytes of addresses, three have %g", one, three)
	}
	for arm, want := range map[string]string{"failing": "exit status 3", "guest": "has not said"} {
		samples := n.of(arm, MemoryPSS)
		if len(samples) != 1 || !strings.Contains(samples[0].Failed, want) {
			t.Errorf("%s: %+v, want one that says %q", arm, samples, want)
		}
	}
	noneLeft(t)
}

// noneLeft fails the test if a process of a fake is left.
func noneLeft(t *testing.T) {
	t.Helper()
	environments, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range environments {
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), fmt.Sprintf("vmmcompare%d-", os.Getpid())) {
			t.Errorf("a process is left: %s", name)
		}
	}
}

func TestDensity(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 5),
		armtest.Fake{Named: "a", Script: armtest.Hold},
		armtest.Fake{Named: "failing", Script: "exit 3"},
		armtest.Fake{Named: "full", Script: "cd " + t.TempDir() + "; test $(ls | wc -l) -lt 2 || { echo no room; exit 4; }; : > $$; " + armtest.Hold},
		armtest.Fake{Named: "stubborn", Script: armtest.Begin + armtest.Hang},
		armtest.Fake{Named: "mute", Mute: true, Script: "echo TEXT waits input; exec cat"},
		armtest.Fake{Named: "mute and gone", Mute: true, Script: "echo nothing"})
	if err := Density.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	for count := 1; count <= 5; count++ {
		if got := time.Duration(n.value(t, "a", DensityTime, count) * 1e9); got <= 0 || got > time.Second {
			t.Errorf("instance %d starts in %v", count, got)
		}
	}
	if stop := n.of("a", DensityStop); len(stop) != 1 || stop[0].Value != 5 || !strings.Contains(stop[0].Text, "limit of 5 instances") {
		t.Errorf("it stopped with %+v", stop)
	}
	if stop := n.of("failing", DensityStop); len(stop) != 1 || !strings.Contains(stop[0].Failed, "exit status 3") {
		t.Errorf("an arm that fails stopped with %+v", stop)
	}
	if stop := n.of("full", DensityStop); len(stop) != 1 || stop[0].Value != 2 || !strings.Contains(stop[0].Text, "no room") {
		t.Errorf("an arm of which there are two at most stopped with %+v", stop)
	}
	if stop := n.of("stubborn", DensityStop); len(stop) != 1 || !strings.Contains(stop[0].Failed, "has not ended") {
		t.Errorf("an arm that does not end with its input stopped with %+v", stop)
	}
	if stop := n.of("mute", DensityStop); len(stop) != 1 || stop[0].Value != 5 || len(n.of("mute", DensityMemory)) != 5 || len(n.of("mute", DensityTime)) != 0 {
		t.Errorf("an arm that does not show the start of its payload stopped with %+v, and has %d start times", stop, len(n.of("mute", DensityTime)))
	}
	if stop := n.of("mute and gone", DensityStop); len(stop) != 1 || !strings.Contains(stop[0].Failed, "ended before it had said all: it ended with status 0") {
		t.Errorf("one that ends and says nothing stopped with %+v", stop)
	}
	noneLeft(t)
}

// TestDensityHostFull: the host is not filled, however many are asked for.
func TestDensityHostFull(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 1_000_000_000), armtest.Fake{Named: "a", Script: armtest.Hold})
	s.Env.Memory = 1 << 60
	if err := Density.Run(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	stop := n.of("a", DensityStop)
	if len(stop) != 1 || stop[0].Value != 0 || !strings.Contains(stop[0].Text, "the host's memory") {
		t.Errorf("it stopped with %+v", stop)
	}
}

// TestHerdRounds: with more effort there are more rounds, but none of an arm that
// has failed, and none that a run has made which this one goes on with.
func TestHerdRounds(t *testing.T) {
	var n notebook
	arms := []armtest.Fake{{Named: "a", Script: armtest.Hold}, {Named: "failing", Script: "exit 3"}}
	for range 2 {
		if err := Density.Run(t.Context(), n.session(t, brief(10, 1), arms...)); err != nil {
			t.Fatal(err)
		}
	}
	var rounds []int
	for _, s := range n.of("a", DensityStop) {
		rounds = append(rounds, s.Round)
	}
	if !slices.Equal(rounds, []int{0, 1}) || len(n.of("a", DensityTime)) != 2 {
		t.Errorf("the rounds are %v, with %d start times", rounds, len(n.of("a", DensityTime)))
	}
	if failed := n.of("failing", DensityStop); len(failed) != 1 {
		t.Errorf("an arm that fails was tried %d times", len(failed))
	}
}
