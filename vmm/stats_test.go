package vmm

import (
	"encoding/json"
	"strings"
	"testing"
)

// A program that reads the statistics finds keys of one style, and a list where
// one belongs, even of a machine that did nothing.
func TestStatsJSON(t *testing.T) {
	var s Stats
	s.noNulls()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	if strings.Contains(text, "null") {
		t.Errorf("null in %s", text)
	}
	for _, want := range []string{`"exits":[]`, `"accesses":[]`, `"kvm":[]`, `"timeline":[]`, `"console":{"in":0,"out":0,"lost":0}`, `"phases":[]`} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s in %s", want, text)
		}
	}
}
