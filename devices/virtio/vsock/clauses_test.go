package vsock_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
)

// TestClauses has what virtio-v1.2 §5.10 demands of a socket device, and of the
// driver where the device can tell.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{
		"5.10.3": 1, "5.10.6.1.1": 1, "5.10.6.1.2": 1, "5.10.6.3.1": 2, "5.10.6.3.2": 2,
		"5.10.6.4": 2, "5.10.6.4.1": 2, "5.10.6.4.2": 2, "5.10.6.5": 6, "5.10.6.7.1": 4,
	}, []virtiotest.Clause{
		{Section: "5.10.3", Says: "without a feature bit there are stream sockets", Test: TestGuestConnects},
		{Section: "5.10.6.1.1", Says: "the driver works on rx while tx is full",
			Why: "the device takes packets from tx whatever the driver does, up to maxReplies: it cannot tell"},
		{Section: "5.10.6.1.2", Says: "tx is worked on while rx is full", Test: TestReceivesWithoutRX},
		{Section: "5.10.6.3.1", Says: "the driver sends data only into free buffer space", Test: TestStreamRules},
		{Section: "5.10.6.3.1", Says: "buf_alloc and fwd_cnt are valid in all the driver's packets", Test: TestStreamRules},
		{Section: "5.10.6.3.2", Says: "data is sent only into the driver's free buffer space", Test: TestSlowGuest},
		{Section: "5.10.6.3.2", Says: "buf_alloc and fwd_cnt are valid in all packets of a stream", Test: TestManyStreams},
		{Section: "5.10.6.4", Says: "outgoing buffers are read-only", Test: TestBrokenBuffers},
		{Section: "5.10.6.4", Says: "incoming buffers are write-only", Test: TestBrokenBuffers},
		{Section: "5.10.6.4.1", Says: "the driver's source CID is guest_cid", Test: TestOtherSource},
		{Section: "5.10.6.4.1", Says: "the driver answers an unknown type with RST",
			Why: "the device sends no packets of another type than the driver's"},
		{Section: "5.10.6.4.2", Says: "guest_cid is not reserved", Test: TestReservedCID},
		{Section: "5.10.6.4.2", Says: "an unknown type is answered with RST", Test: TestUnknownPackets},
		{Section: "5.10.6.5", Says: "a connection is established by REQUEST and RESPONSE", Test: TestGuestConnects},
		{Section: "5.10.6.5", Says: "RST if nobody listens", Test: TestRefused},
		{Section: "5.10.6.5", Says: "RST if there are no resources", Test: TestMaxStreams},
		{Section: "5.10.6.5", Says: "SHUTDOWN's flags are permanent", Test: TestShutdownAddsUp},
		{Section: "5.10.6.5", Says: "RST disconnects", Test: TestLastBytes},
		{Section: "5.10.6.5", Says: "a clean disconnect is SHUTDOWN, answered by RST, or RST after some time", Test: TestForcedDisconnect},
		{Section: "5.10.6.7.1", Says: "the driver replenishes event buffers", Why: "the device has no events"},
		{Section: "5.10.6.7.1", Says: "the driver fetches guest_cid at TRANSPORT_RESET", Why: "the device has no events"},
		{Section: "5.10.6.7.1", Says: "the driver shuts connections down at TRANSPORT_RESET", Why: "the device has no events"},
		{Section: "5.10.6.7.1", Says: "the driver keeps listening after TRANSPORT_RESET", Why: "the device has no events"},
	})
}
