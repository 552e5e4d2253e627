package report

import (
	"strings"
	"testing"

	"microvm/cmd/vmm/internal/compare"
)

// row returns the line of text with all of the words.
func row(text string, words ...string) string {
next:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		return line
	}
	return ""
}

func diff(t *testing.T, a, b *madeUp) string {
	t.Helper()
	var out strings.Builder
	if err := Diff(&out, a.write(t), b.write(t)); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDiff(t *testing.T) {
	a, b := newMadeUp(), newMadeUp()
	for i := range 20 {
		v := 1 + 0.001*float64(i)
		for arm, slower := range map[string]float64{"crun": 1, "vmm": 2} {
			s := compare.Sample{Experiment: "start", Arm: arm, Metric: "time", Unit: compare.Seconds, From: compare.Spawn, To: compare.Payload}
			s.Value = v
			a.add(s)
			s.Value = v * slower
			b.add(s)
		}
	}
	text := diff(t, a, b)
	if line := row(text, "vmm", "2×", "large (+1.00)", "*"); line == "" {
		t.Errorf("no row says that vmm takes twice as long:\n%s", text)
	}
	if line := row(text, "crun", "1×", "negligible"); line == "" || strings.Contains(line, "*") {
		t.Errorf("no row says that crun has not changed:\n%s", text)
	}
	if strings.Contains(text, "†") {
		t.Errorf("the same host is marked as different:\n%s", text)
	}
}

// What was measured on another host is shown and marked.
func TestDiffOfHosts(t *testing.T) {
	a, b := newMadeUp().everything(), newMadeUp()
	b.run.Host.CPU.Model = "another"
	b.run.Digest = b.run.Host.Digest()
	text := diff(t, a, b.everything())
	if !strings.Contains(text, "† The hosts differ") || row(text, "vmm †", "×") == "" {
		t.Errorf("no mark, or no ratio:\n%s", text)
	}
}

// Times to different boundaries are not compared.
func TestDiffOfBoundaries(t *testing.T) {
	a, b := newMadeUp(), newMadeUp()
	s := compare.Sample{Experiment: "start", Arm: "crun", Metric: "time", Unit: compare.Seconds, Value: 1, From: compare.Spawn, To: compare.Payload}
	a.add(s)
	s.To = compare.Exit
	b.add(s)
	text := strings.Join(strings.Fields(diff(t, a, b)), " ")
	if !strings.Contains(text, "crun and crun differ in last boundary: payload and exit") || strings.Contains(text, "×") {
		t.Errorf("not refused:\n%s", text)
	}
}
