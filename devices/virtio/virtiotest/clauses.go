package virtiotest

import "testing"

// A Clause is something that a specification demands, and what holds the device
// to it: a MUST of the device's side, or a MUST NOT of the driver's side with what
// the device answers to a driver that does it all the same.
type Clause struct {
	Section string // of virtio-v1.2: "4.2.2.1"
	Says    string // in our words
	Test    func(*testing.T)
	// Why is the reason that no test can show it, in the place of Test.
	Why string
}

// CheckClauses fails the test unless rows has, for each section of musts, as many
// clauses as it has demands, each with a test or a reason, and nothing besides.
func CheckClauses(t *testing.T, musts map[string]int, rows []Clause) {
	t.Helper()
	found := make(map[string]int)
	for _, c := range rows {
		found[c.Section]++
		if (c.Test == nil) == (c.Why == "") {
			t.Errorf("§%s %q: has a test or a reason why there is none, and not both", c.Section, c.Says)
		}
		if _, ok := musts[c.Section]; !ok {
			t.Errorf("§%s %q: the number of that section's demands is not given", c.Section, c.Says)
		}
	}
	for section, n := range musts {
		if found[section] != n {
			t.Errorf("§%s has %d demands; %d have a row", section, n, found[section])
		}
	}
}
