package experiment

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// taking is the script of an arm whose payload does this in each turn.
func taking(turn string) string {
	return armtest.Begin + "echo TEXT waits turn; while read x; do " + turn + "; done; " + armtest.End
}

var speeds = []metric{{"speed", compare.PerSecond}, {"size", compare.Bytes}}

const speak = "echo RESULT speed 1/s 5; echo RESULT size B 7"

func TestTurns(t *testing.T) {
	var n notebook
	effort := brief(2, 1)
	s := n.session(t, effort,
		armtest.Fake{Named: "good", Script: taking(speak)},
		armtest.Fake{Named: "guest", Script: taking("echo a message; test -n \"$x\" || { " + speak + "; }"), Is: arm.VM},
		armtest.Fake{Named: "mute", Script: taking("echo RESULT speed 1/s 5")},
		armtest.Fake{Named: "garbled", Script: taking("echo RESULT speed 1/s; " + speak)},
		armtest.Fake{Named: "early", Script: armtest.Begin + "exit 3"},
		armtest.Fake{Named: "mortal", Script: taking("i=$((i + 1)); test $i -lt 4 || exit 4; " + speak)},
		armtest.Fake{Named: "dead", Script: "exit 5"})
	if err := s.turns(t.Context(), "run", speeds); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		arm    string
		values int
		why    string // it has failed at last
	}{
		{"good", 2 * turnsPerRound, ""},
		{"guest", 2 * turnsPerRound, ""},
		{"mute", 0, "has not said all"},
		{"garbled", 0, "RESULT speed 1/s"},
		{"early", 0, "ended before it had said all: sh: exit status 3"},
		{"mortal", 3, ""}, // is looked at below
		{"dead", 0, "exit status 5"},
	} {
		for i, m := range speeds {
			values, failed := 0, 0
			for _, r := range n.of(tt.arm, m.name) {
				switch {
				case r.Failed == "" && r.Value == []float64{5, 7}[i] && r.Unit == m.unit && r.Round == values:
					values++
				case r.Failed != "" && strings.Contains(r.Failed, tt.why):
					failed++
				default:
					t.Errorf("%s: %+v", tt.arm, r)
				}
			}
			good := tt.arm == "good" || tt.arm == "guest"
			if values != tt.values || (failed == 0) != good || failed > 1 {
				t.Errorf("%s has %d values of %s and %d failures, want %d values", tt.arm, values, m.name, failed, tt.values)
			}
		}
	}
	noneLeft(t)
}

// A guest that waits is stopped, and no other arm is.
func TestTurnsStopGuests(t *testing.T) {
	var n notebook
	// Each says of the other's process whether it is stopped (proc_pid_stat(5)).
	dir := t.TempDir()
	other := func(name, other string, kind arm.Kind) armtest.Fake {
		return armtest.Fake{Named: name, Is: kind, Script: "echo $$ > " + dir + "/" + name + "; " +
			taking("read a b state c < /proc/$(cat "+dir+"/"+other+")/stat; test $state = T && v=1 || v=0; echo RESULT stopped 1 $v")}
	}
	s := n.session(t, brief(1, 1), other("process", "guest", arm.Process), other("guest", "process", arm.VM))
	if err := s.turns(t.Context(), "run", []metric{{"stopped", compare.Count}}); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]float64{"process": 1, "guest": 0} { // what it says of the other
		all := n.of(name, "stopped")
		if len(all) != turnsPerRound {
			t.Errorf("%s had %d turns: %+v", name, len(all), all)
		}
		for _, r := range all {
			if r.Value != want || r.Failed != "" {
				t.Errorf("%s finds the other: %+v", name, r)
			}
		}
	}
	noneLeft(t)
}

// All arms have their turn once in each round, with all instances there.
func TestTurnsAreInTurn(t *testing.T) {
	var n notebook
	log := filepath.Join(t.TempDir(), "log")
	turn := func(name string) armtest.Fake {
		return armtest.Fake{Named: name, Script: taking("echo " + name + " >> " + log + "; " + speak)}
	}
	if err := n.session(t, brief(2, 1), turn("a"), turn("b"), turn("c")).turns(t.Context(), "run", speeds); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	orders := make(map[string]bool)
	for round := range slices.Chunk(strings.Fields(string(text)), 3) {
		orders[strings.Join(round, "")] = true
		if slices.Sort(round); strings.Join(round, "") != "abc" {
			t.Errorf("the turns of a round: %v", round)
		}
	}
	if len(orders) < 2 {
		t.Errorf("the order is always %v", orders)
	}
}

// Turns that are done are not done again, and an arm that has failed is not tried again.
func TestTurnsGoOn(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "a", Script: taking(speak)}, armtest.Fake{Named: "failed", Script: taking(speak)})
	n.samples = []compare.Sample{{Arm: "a", Metric: "size", Unit: compare.Bytes, Value: 5, Round: 1}, {Arm: "failed", Metric: "size", Failed: "why"}}
	if err := s.turns(t.Context(), "run", speeds); err != nil {
		t.Fatal(err)
	}
	var rounds []int
	for _, r := range n.of("a", "size") {
		rounds = append(rounds, r.Round)
	}
	if !slices.Equal(rounds, []int{1, 0, 2, 3, 4, 5, 6, 7}) || len(n.of("failed", "size")) != 1 {
		t.Errorf("after round 1 these were recorded: %v, want 0 and 2 to 7", rounds)
	}
}

// An arm whose memory the host does not have takes no turn.
func TestTurnsHostFull(t *testing.T) {
	var n notebook
	s := n.session(t, brief(1, 1), armtest.Fake{Named: "a", Script: taking(speak)})
	s.Env.Memory = 1 << 60
	if err := s.turns(t.Context(), "run", speeds); err != nil {
		t.Fatal(err)
	}
	if got := n.of("a", "size"); len(got) != 1 || !strings.Contains(got[0].Failed, "the host's memory") {
		t.Errorf("%+v", got)
	}
}
