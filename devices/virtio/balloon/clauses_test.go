package balloon_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
)

// What virtio-v1.2 §5.5 demands, apart from legacy drivers and the features that
// are not offered (§5.5.6.5 free page hints, §5.5.6.6 page poison).
func TestClauses(t *testing.T) {
	musts := map[string]int{
		"5.5.3.1": 1, "5.5.6.1": 4, "5.5.6.3.1": 2, "5.5.6.3.2": 2, "5.5.6.7.1": 1, "5.5.6.7.2": 1,
	}
	virtiotest.CheckClauses(t, musts, []virtiotest.Clause{
		{Section: "5.5.3.1", Says: "a driver that relies on what is in free pages does not accept PAGE_REPORTING without PAGE_POISON",
			Why: "what a guest relies on is not to be seen; the device does not offer PAGE_POISON"},
		{Section: "5.5.6.1", Says: "without DEFLATE_ON_OOM the driver uses no page of the balloon while it is not to shrink",
			Why: "the device allows it always: a page is there when it is touched"},
		{Section: "5.5.6.1", Says: "with MUST_TELL_HOST the driver uses no page before its deflation is acknowledged",
			Why: "the feature is not offered"},
		{Section: "5.5.6.1", Says: "the driver uses no page between the request to inflate and its acknowledgement",
			Why: "the device cannot tell; the guest would lose what it writes, and nothing else"},
		{Section: "5.5.6.1", Says: "the driver asks for no deflation of a page before its inflation is acknowledged",
			Test: TestDeflateReleasesNothing},
		{Section: "5.5.6.3.1", Says: "the driver has at most one buffer in statsq", Test: TestSecondBufferOfStatistics},
		{Section: "5.5.6.3.1", Says: "buffers in statsq are to be read", Test: TestBrokenRequests},
		{Section: "5.5.6.3.2", Says: "the device ignores tags that it does not know", Test: TestStatistics},
		{Section: "5.5.6.3.2", Says: "the device takes statistics in any order", Test: TestStatistics},
		{Section: "5.5.6.7.1", Says: "the driver does not use reported pages before the acknowledgement",
			Why: "the device cannot tell; the guest would lose what it writes, and nothing else"},
		{Section: "5.5.6.7.2", Says: "with PAGE_POISON the device puts nothing but poison_val into a reported page",
			Test: TestFeatures}, // it is not offered
	})
}
