package virtio_test

import (
	"testing"

	"microvm/devices/virtio/virtiotest"
)

// TestClauses has what virtio-v1.2 demands of a device's status, features, reset,
// configuration space and MMIO registers, and of the driver where the device
// can tell. RING_RESET is not offered, so its demands hold for nobody.
func TestClauses(t *testing.T) {
	virtiotest.CheckClauses(t, map[string]int{
		"2.1.1": 2, "2.1.2": 2, "2.2.1": 2, "2.2.2": 2, "2.4.1": 2, "2.5.2": 1, "4.2.2.1": 7, "4.2.2.2": 5,
		"6.1": 1, "6.2": 2,
	}, []virtiotest.Clause{
		{Section: "2.1.1", Says: "the driver sets status bits in the order of §3.1", Test: TestStatusOrder},
		{Section: "2.1.1", Says: "the driver clears no status bit", Test: TestStatusOrder},
		{Section: "2.1.2", Says: "no buffer is consumed, and no notification sent, before DRIVER_OK", Test: TestNothingBeforeDriverOK},
		{Section: "2.1.2", Says: "DEVICE_NEEDS_RESET after DRIVER_OK is announced by a configuration change", Test: TestNeedsResetNotifies},
		{Section: "2.2.1", Says: "the driver accepts nothing that is not offered", Test: TestFeaturesRefused},
		{Section: "2.2.1", Says: "the driver accepts nothing without what it requires", Test: TestFeaturesRefused},
		{Section: "2.2.2", Says: "nothing is offered without what it requires",
			Why: "a device type offers a constant set; each has a test of its own dependencies"},
		{Section: "2.2.2", Says: "FEATURES_OK stays clear if the driver's features cannot be served", Test: TestFeaturesRefused},
		{Section: "2.4.1", Says: "the status is 0 after a reset", Test: TestStatusOrder},
		{Section: "2.4.1", Says: "after a reset no notification is sent and no queue touched", Test: TestReset},
		{Section: "2.5.2", Says: "the configuration space can be read before FEATURES_OK", Test: TestConfig},
		{Section: "4.2.2.1", Says: "MagicValue", Test: TestRegisters},
		{Section: "4.2.2.1", Says: "Version", Test: TestRegisters},
		{Section: "4.2.2.1", Says: "an event stays in InterruptStatus until it is acknowledged", Test: TestInterruptAcknowledge},
		{Section: "4.2.2.1", Says: "bits of events that did not happen are 0", Test: TestReasons},
		{Section: "4.2.2.1", Says: "a reset clears InterruptStatus and all of QueueReady", Test: TestReset},
		{Section: "4.2.2.1", Says: "ConfigGeneration changes when the driver could see two states", Test: TestConfigGeneration},
		{Section: "4.2.2.1", Says: "no queue is touched whose QueueReady is 0", Test: TestQueueTakenFromRunningDevice},
		{Section: "4.2.2.2", Says: "the driver stays away from what is no register", Test: TestRegisters},
		{Section: "4.2.2.2", Says: "the driver accesses registers by aligned 32 bits", Test: TestRegisterWidth},
		{Section: "4.2.2.2", Says: "QueueNum is at most QueueNumMax", Test: TestQueuesThatCannotBe},
		{Section: "4.2.2.2", Says: "the driver leaves a ready queue as it is", Test: TestReadyQueueStands},
		{Section: "4.2.2.2", Says: "the driver takes a queue back by writing 0 to QueueReady", Test: TestQueueTakenFromRunningDevice},
		{Section: "6.1", Says: "the driver accepts VERSION_1", Test: TestFeaturesRefused},
		{Section: "6.2", Says: "VERSION_1 is offered", Test: TestFeatures},
		{Section: "6.2", Says: "SR_IOV is not offered without PCI", Test: TestFeatures},
	})
}
