package vmm_test

import (
	"regexp"
	"strconv"
	"testing"

	"microvm/vmm"
)

// What the entropy device gives passes the tests of FIPS 140-2, but for as many
// of 200 blocks as chance makes fail: one in about 1200.
func TestRNG(t *testing.T) {
	if inGuest() {
		mountDebian(t)
		// A block that fails makes rngtest's status 1, so its words count.
		report := debian(t, "sh", "-c", "rngtest -c 200 < /dev/hwrng 2>&1 || true")
		t.Log(report)
		const most = 3
		found := regexp.MustCompile(`FIPS 140-2 successes: (\d+)\n.*FIPS 140-2 failures: (\d+)\n`).FindStringSubmatch(report)
		if found == nil {
			t.Fatal("rngtest has not counted")
		}
		good, _ := strconv.Atoi(found[1])
		bad, _ := strconv.Atoi(found[2])
		if good+bad != 200 || bad > most {
			t.Errorf("%d blocks of %d fail", bad, good+bad)
		}
		return
	}
	g := newGuestHalf(t).withDebian(t)
	g.RNG = true
	g.run(t).wants(t, vmm.EndPoweredOff, 0)
}
