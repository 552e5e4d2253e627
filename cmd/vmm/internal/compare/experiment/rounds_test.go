package experiment

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"microvm/cmd/vmm/internal/compare"
	"microvm/cmd/vmm/internal/compare/arm/armtest"
)

// jobs are one of these modes for each arm.
func jobsOf(s *Session, modes ...mode) (jobs []job) {
	for _, a := range s.Arms {
		jobs = append(jobs, job{a, modes})
	}
	return jobs
}

var speed = mode{[]string{"run"}, []metric{{"speed", compare.PerSecond}}}

// saying is the script of an arm whose payload says this.
func saying(lines string) string { return armtest.Begin + "echo '" + lines + "'; " + armtest.End }

func TestRounds(t *testing.T) {
	var n notebook
	s := n.session(t, brief(4, 1),
		armtest.Fake{Named: "good", Script: saying("RESULT speed 1/s 5")},
		armtest.Fake{Named: "mute", Script: saying("hello")},
		armtest.Fake{Named: "garbled", Script: saying("RESULT speed 1/s 5\nRESULT spe")},
		armtest.Fake{Named: "other", Script: saying("RESULT speed s 5")},
		armtest.Fake{Named: "failing", Script: saying("RESULT speed 1/s 5") + "exit 3"},
		armtest.Fake{Named: "dead", Script: "exit 4"})
	if err := s.rounds(t.Context(), jobsOf(s, speed)); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		arm            string
		values, failed int
		why            string
	}{
		{"good", 4, 0, ""},
		{"mute", 0, maxFailures, "does not say speed in 1/s"},
		{"garbled", maxFailures, 0, ""}, // what it says of speed is good
		{"other", 0, maxFailures, "does not say speed in 1/s"},
		{"failing", maxFailures, 0, ""},
		{"dead", 0, maxFailures, "exit status 4"},
	} {
		values, failed := 0, 0
		for _, r := range n.of(tt.arm, "speed") {
			switch {
			case r.Failed == "" && r.Value == 5 && r.Unit == compare.PerSecond:
				values++
			case tt.why != "" && strings.Contains(r.Failed, tt.why):
				failed++
			default:
				t.Errorf("%s: %+v", tt.arm, r)
			}
		}
		if values != tt.values || failed != tt.failed {
			t.Errorf("%s has %d values and %d failures, want %d and %d", tt.arm, values, failed, tt.values, tt.failed)
		}
	}
}

// Rounds that are done are not done again, whatever their order was.
func TestRoundsGoOn(t *testing.T) {
	var n notebook
	s := n.session(t, brief(3, 1), armtest.Fake{Named: "a", Script: saying("RESULT speed 1/s 5")})
	n.samples = []compare.Sample{{Arm: "a", Metric: "speed", Unit: compare.PerSecond, Value: 5, Round: 1}}
	if err := s.rounds(t.Context(), jobsOf(s, speed)); err != nil {
		t.Fatal(err)
	}
	var rounds []int
	for _, r := range n.of("a", "speed") {
		rounds = append(rounds, r.Round)
	}
	if !slices.Equal(rounds, []int{1, 0, 2}) {
		t.Errorf("after round 1 these were recorded: %v, want 0 and 2", rounds)
	}
}

// Rounds end when the median is known.
func TestRoundsEndWhenPrecise(t *testing.T) {
	for _, tt := range []struct {
		precision float64
		least     int
		most      int
	}{{0.01, 6, 6}, {-1, 20, 20}} { // no interval is as narrow as a negative one
		var n notebook
		effort := brief(40, 1)
		effort.Precision = tt.precision
		s := n.session(t, effort, armtest.Fake{Named: "a", Script: saying("RESULT speed 1/s 5")})
		if err := s.rounds(t.Context(), jobsOf(s, speed)); err != nil {
			t.Fatal(err)
		}
		if got := len(n.of("a", "speed")); got < tt.least || got > tt.most {
			t.Errorf("with precision %g there are %d rounds, want %d to %d", tt.precision, got, tt.least, tt.most)
		}
	}
}

// When the time is over there are still rounds enough to see how much values differ.
func TestRoundsWithoutTime(t *testing.T) {
	var n notebook
	effort := brief(10, 1)
	effort.Time = 1
	s := n.session(t, effort, armtest.Fake{Named: "a", Script: saying("RESULT speed 1/s 5")})
	if err := s.rounds(t.Context(), jobsOf(s, speed)); err != nil {
		t.Fatal(err)
	}
	if got := len(n.of("a", "speed")); got != leastRounds {
		t.Errorf("there are %d rounds, want %d", got, leastRounds)
	}
}

// There are half the rounds of starts, but enough to know how sure the median is.
func TestWorkRounds(t *testing.T) {
	for rounds, want := range map[int]int{1: 1, 5: 5, 7: 6, 30: 15, 200: 100} {
		if got := (Effort{Rounds: rounds}).workRounds(); got != want {
			t.Errorf("of %d rounds there are %d, want %d", rounds, got, want)
		}
	}
}

func TestJobArgv(t *testing.T) {
	j := job{modes: []mode{{[]string{"a", "1"}, nil}, {[]string{"b"}, nil}, {[]string{"c", "2", "3"}, nil}}}
	if got, want := fmt.Sprint(j.argv()), "[/payload a 1 , b , c 2 3]"; got != want {
		t.Errorf("the payload is started as %s, want %s", got, want)
	}
}

// What a console puts between the payload's lines is none of them.
func TestParseOutput(t *testing.T) {
	said, err := parseOutput("[    0.1] booting\r\nMARK payload 5\r\nRESULT a s 1\r\nnoise RESULT b s 1\nTEXT c d e\n")
	if err != nil || len(said) != 3 {
		t.Errorf("the payload says %v, %v, want three lines", said, err)
	}
	if said, err := parseOutput("RESULT a s\nRESULT b s 2\n"); err == nil || len(said) != 1 {
		t.Errorf("a garbled line leaves %v, %v, want one line and an error", said, err)
	}
}
