package net_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
)

// TestClauses has what virtio-v1.2 §5.1 demands of a network device, and of the
// driver where the device can tell, for the features that are offered: without
// UFO, RSS, hash reports, filters, coalescing, announcements, RSC_EXT and
// SPEED_DUPLEX.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{
		"5.1.3.1": 1, "5.1.4.1": 5, "5.1.4.2": 2, "5.1.6.2.1": 7, "5.1.6.2.2": 4, "5.1.6.3.1": 1, "5.1.6.3.2": 2,
		"5.1.6.4.1": 9, "5.1.6.5": 1, "5.1.6.5.6.1": 4, "5.1.6.5.6.2": 2, "5.1.6.5.8": 1,
	}, []virtiotest.Clause{
		{Section: "5.1.3.1", Says: "features that need others", Test: TestFeaturesThatNeedOthers},
		{Section: "5.1.4.1", Says: "max_virtqueue_pairs is 1 to 0x8000", Test: TestConfig},
		{Section: "5.1.4.1", Says: "mtu is 68 to 65535", Why: "package vmm refuses any other, see TestWrongNets there"},
		{Section: "5.1.4.1", Says: "mtu does not change", Test: TestConfig},
		{Section: "5.1.4.1", Says: "no received frame without segments exceeds mtu", Test: TestMTU},
		{Section: "5.1.4.1", Says: "frames of up to mtu are sent whole", Test: TestSizesOfSentFrames},
		{Section: "5.1.4.2", Says: "the driver has room for a frame of mtu", Test: TestFrameLargerThanItsBuffer},
		{Section: "5.1.4.2", Says: "the driver sends no frame without segments that exceeds mtu",
			Why: "one that does is carried: how much is too much is for the network to say"},
		{Section: "5.1.6.2.1", Says: "the driver sets num_buffers to 0", Test: TestHeadersAreCleaned},
		{Section: "5.1.6.2.1", Says: "without CSUM the driver sets flags to 0", Test: TestHeadersThatCannotBe},
		{Section: "5.1.6.2.1", Says: "no gso_type whose feature is not negotiated", Test: TestHeadersThatCannotBe},
		{Section: "5.1.6.2.1", Says: "the driver sets csum_start and csum_offset so that a checksum results", Test: TestHeadersThatCannotBe},
		{Section: "5.1.6.2.1", Says: "with a gso_type the driver sets NEEDS_CSUM and gso_size", Test: TestHeadersThatCannotBe},
		{Section: "5.1.6.2.1", Says: "the driver does not set DATA_VALID or RSC_INFO", Test: TestHeadersAreCleaned},
		{Section: "5.1.6.2.1", Says: "with HOST_ECN the driver sets GSO_ECN, and else does not", Test: TestHeadersThatCannotBe},
		{Section: "5.1.6.2.2", Says: "unknown flags are ignored", Test: TestHeadersAreCleaned},
		{Section: "5.1.6.2.2", Says: "without NEEDS_CSUM csum_start and csum_offset are not used", Test: TestHeadersAreCleaned},
		{Section: "5.1.6.2.2", Says: "hdr_len is not relied on", Test: TestHeadersAreCleaned},
		{Section: "5.1.6.2.2", Says: "without NEEDS_CSUM the checksum is not relied on", Why: "no frame's contents are looked at"},
		{Section: "5.1.6.3.1", Says: "a mergeable buffer has room for the header", Test: TestBuffersThatCannotBe},
		{Section: "5.1.6.3.2", Says: "num_buffers is the number of chains", Test: TestMergeableBuffers},
		{Section: "5.1.6.3.2", Says: "without MRG_RXBUF a frame has one chain", Test: TestFrameLargerThanItsBuffer},
		{Section: "5.1.6.4.1", Says: "without MRG_RXBUF num_buffers is 1", Test: TestReceive},
		{Section: "5.1.6.4.1", Says: "with MRG_RXBUF num_buffers is the number of buffers", Test: TestMergeableBuffers},
		{Section: "5.1.6.4.1", Says: "all buffers but the last are used completely", Test: TestMergeableBuffers},
		{Section: "5.1.6.4.1", Says: "the buffers of a frame become used together", Test: TestMergeableBuffersTogether},
		{Section: "5.1.6.4.1", Says: "without GUEST_CSUM flags is 0", Test: TestReceivedHeaders},
		{Section: "5.1.6.4.1", Says: "no gso_type TCPV4 without GUEST_TSO4", Test: TestReceivedHeaders},
		{Section: "5.1.6.4.1", Says: "no gso_type TCPV6 without GUEST_TSO6", Test: TestReceivedHeaders},
		{Section: "5.1.6.4.1", Says: "gso_type NONE without any of them", Test: TestReceivedHeaders},
		{Section: "5.1.6.4.1", Says: "with a gso_type NEEDS_CSUM and gso_size are set, csum_start and csum_offset fit",
			Why: "they are the backend's: the host's kernel's, or package user's, which has tests of its own"},
		{Section: "5.1.6.5", Says: "a command is answered in ack", Test: TestUnknownCommands},
		{Section: "5.1.6.5.6.1", Says: "the driver sets up the queues of a pair before it enables it", Test: TestPairThatIsNotSetUp},
		{Section: "5.1.6.5.6.1", Says: "the driver asks for 1 to max_virtqueue_pairs pairs", Test: TestPairs},
		{Section: "5.1.6.5.6.1", Says: "the driver sends on the first pair only before it enables others",
			Why: "what it sends on others is carried: they are set up all the same"},
		{Section: "5.1.6.5.6.1", Says: "the driver sends on no pair above those that it has enabled", Why: "likewise"},
		{Section: "5.1.6.5.6.2", Says: "frames are received on the first pair only after a reset", Test: TestPairs},
		{Section: "5.1.6.5.6.2", Says: "no frames are received on pairs above those that are set", Test: TestPairs},
		{Section: "5.1.6.5.8", Says: "the driver enables no offload that was not negotiated", Test: TestGuestOffloads},
	})
}
